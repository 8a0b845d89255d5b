"""What a new net takes over from a trained one with other classes, channels or levels."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from autoseg.plan import Plan, Stage

#: What the planner calls channels whose names nobody gave: they say nothing but the order.
UNNAMED = re.compile(r"channel \d+")


@dataclass(frozen=True, kw_only=True)
class Side:
    """A net with what its inputs and outputs mean.

    Parameters
    ----------
    plan : Plan
    stage : Stage
        As trained.
    weights : mapping of str -> Tensor
        The net's state.
    """

    plan: Plan
    stage: Stage
    weights: Mapping[str, Tensor]

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the image's channels."""
        given = self.plan.channels
        return given if len(given) == self.stage.num_image_channels else ("",) * self.stage.num_image_channels

    @property
    def previous(self) -> tuple[str, ...]:
        """Classes of the stage before whose probabilities come behind the image's channels."""
        return self.plan.labels.classes if self.stage.previous is not None else ()

    def count(self, part: str) -> int:
        """Modules in a list of the net: "encoder", "decoder", "ups" or "heads"."""
        return len({name.split(".")[1] for name in self.weights if name.startswith(f"{part}.")})


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """What became of a new net's tensors.

    Parameters
    ----------
    weights : dict of str -> Tensor
        The whole state of the new net.
    kept, adapted, anew : tuple of str
        Names of tensors: taken as they were; of the first layer and the heads, rearranged; left as a fresh net has them.
    sentences : tuple of str
        The same for people.
    """

    weights: dict[str, Tensor]
    kept: tuple[str, ...]
    adapted: tuple[str, ...]
    anew: tuple[str, ...]
    sentences: tuple[str, ...]


def transfer(source: Side, fresh: Side) -> Transfer:
    """A fresh net with everything that a trained one can give it.

    Tensors of equal shape are taken. Levels are counted from the finest: of nets of unequal depth those that both have are taken. The first
    layer gets kernels for its channels (`adapt_inputs`), heads are matched by the names of the classes (`adapt_heads`).

    Parameters
    ----------
    source : Side
        The trained net.
    fresh : Side
        The new one, with fresh weights, heads at their priors.
    """
    first = next(name for name, value in fresh.weights.items() if name.startswith("encoder.0.") and value.ndim > 1)
    used = set[str]()
    weights, done = dict[str, Tensor](), dict[str, list[str]]({"kept": [], "adapted": [], "anew": []})
    for name, value in fresh.weights.items():
        used.add(there := name_there(name, fresh, source))
        given = source.weights.get(there)
        taken = None
        if given is not None:
            given = given.to(value)
            if name == first:
                taken = adapt_inputs(given, value, source, fresh)
            elif name.startswith("heads."):
                taken = adapt_heads(given, value, source, fresh)
            elif given.shape == value.shape:
                taken = given
        weights[name] = value if taken is None else taken
        same = taken is not None and given is not None and torch.equal(taken, given)
        done["anew" if taken is None else "kept" if same else "adapted"].append(name)
    kept, adapted, anew = (tuple(done[key]) for key in ("kept", "adapted", "anew"))
    left = [name for name in source.weights if name not in used]
    sentences = (*_sentences(source, fresh, first, kept, adapted, anew), *_left_behind(left, source))
    return Transfer(weights=weights, kept=kept, adapted=adapted, anew=anew, sentences=sentences)


def name_there(name: str, here: Side, there: Side) -> str:
    """The name that a tensor of one net has in another: lists of the decoder are counted from the coarsest level, which may be another."""
    part, number, rest = name.split(".", 2)
    if part not in ("ups", "decoder", "heads"):
        return name
    return f"{part}.{int(number) + there.count(part) - here.count(part)}.{rest}"


def match_channels(there: Sequence[str], here: Sequence[str]) -> list[int | None]:
    """For each channel here the place of the same one there, None where there is none.

    Names decide where they have one in common; else equal numbers of channels are matched in order.

    Example
    -------
    >>> match_channels(("T1", "T2"), ("T2", "FLAIR")), match_channels(("channel 0", "channel 1"), ("channel 0",))
    ([1, None], [None])
    """
    known = {name: place for place, name in enumerate(there) if name and not UNNAMED.fullmatch(name)}
    if not known.keys() & set(here) and len(there) == len(here):
        return list(range(len(here)))
    return [known.get(name) for name in here]


def adapt_inputs(given: Tensor, fresh: Tensor, source: Side, target: Side) -> Tensor | None:
    """Kernels (F, C, ...) of the first layer for other channels; None if its features or its kernel differ.

    A channel that was there has its kernel, another one the mean of all; all are multiplied by the number of channels there over that
    here, so that channels that look alike add up to the same (timm, `adapt_input_conv`). Channels of a cascade's stage before are
    matched by class; one that was not there starts at zero, and changes nothing at first.
    """
    if given.shape[0] != fresh.shape[0] or given.shape[2:] != fresh.shape[2:]:
        return None
    num_there, num_here = len(source.channels), len(target.channels)
    image, before = given[:, :num_there], given[:, num_there:]
    places = match_channels(source.channels, target.channels)
    kernels = [image.mean(dim=1) if place is None else image[:, place] for place in places]
    kernels = [kernel * (num_there / num_here) for kernel in kernels]
    zero = torch.zeros_like(image[:, 0])
    kernels += [before[:, source.previous.index(name)] if name in source.previous else zero for name in target.previous]
    return torch.stack(kernels, dim=1)


def adapt_heads(given: Tensor, fresh: Tensor, source: Side, target: Side) -> Tensor | None:
    """Weights or biases (H, ...) of a head for other classes: those that were there keep theirs, others are fresh.

    None if the features differ, no class was there, or classes exclude each other in one net and not in the other: the logits of a softmax
    mean something else than those of sigmoids.
    """
    here, there = target.plan.labels, source.plan.labels
    if given.shape[1:] != fresh.shape[1:] or here.exclusive != there.exclusive or not set(here.classes) & set(there.classes):
        return None
    rows = fresh.clone()
    background = int(here.exclusive)
    rows[:background] = given[:background]
    for k, name in enumerate(here.classes):
        if name in there.classes:
            rows[background + k] = given[background + there.classes.index(name)]
    return rows


def _sentences(source: Side, fresh: Side, first: str, kept: Sequence[str], adapted: Sequence[str], anew: Sequence[str]) -> Iterator[str]:
    sizes = {name: value.numel() for name, value in fresh.weights.items()}
    share = sum(sizes[name] for name in (*kept, *adapted)) / sum(sizes.values())
    yield f"{len(kept)} of {len(sizes)} tensors are kept as they were, {len(adapted)} are adapted: {share:.1%} of the weights"
    if first in adapted:
        yield f"first layer: from {_inputs(source)} to {_inputs(fresh)}"
    here, there = fresh.plan.labels.classes, source.plan.labels.classes
    if any(name.startswith("heads.") for name in anew) and fresh.plan.labels.exclusive != source.plan.labels.exclusive:
        yield "heads: all new, as classes exclude each other in one of the nets and overlap in the other"
    elif here != there:
        groups = (
            ("kept", [name for name in here if name in there]),
            ("new", [name for name in here if name not in there]),
            ("left out", [name for name in there if name not in here]),
        )
        yield "classes: " + "; ".join(f"{what} {', '.join(names)}" for what, names in groups if names)
    if anew:
        yield f"made anew: {', '.join(_modules(anew, fresh))}"


def _left_behind(names: Sequence[str], source: Side) -> Iterator[str]:
    """What the trained net has and the new one has no place for: a deeper level, a second convolution in the decoder."""
    if names:
        yield f"left behind: {', '.join(_modules(names, source))}"


def _inputs(side: Side) -> str:
    names = [*(name or f"channel {c}" for c, name in enumerate(side.channels)), *(f"{name} of the stage before" for name in side.previous)]
    return ", ".join(names)


def _modules(names: Collection[str], side: Side) -> list[str]:
    """encoder.7.0.conv.weight -> encoder.7 if all of it is named, else encoder.7.0; each once, in order."""
    partly = {_start(name, 2) for name in side.weights if name not in names}
    return list(dict.fromkeys(_start(name, 3 if _start(name, 2) in partly else 2) for name in names))


def _start(name: str, parts: int) -> str:
    return ".".join(name.split(".")[:parts])
