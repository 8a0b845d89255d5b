"""What a net takes over: seen in what it answers, not in names."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from autoseg.labels import LabelSpace
from autoseg.plan import Normalization
from autoseg.step import build_learner
from autoseg.trainers.transfer import Side, Transfer, match_channels, transfer
from tests import small

X = torch.randn((2, 3, 16, 16), generator=torch.Generator().manual_seed(5))


def side(
    classes: tuple[str, ...] = ("a", "b"), channels: tuple[str, ...] = ("grey",), *, seed: int, exclusive: bool = False, **changes: Any
) -> Side:
    """A net of its own weights."""
    values = tuple(range(1, len(classes) + 1)) if exclusive else ()
    labels = LabelSpace(classes=classes, exclusive=exclusive, values=values)
    given = {"features": (4, 8, 12), "strides": ((1, 1), (2, 2), (2, 2)), "kernels": ((3, 3),) * 3, **changes}
    previous = given.pop("previous", None)
    network = small.network(in_channels=len(channels) + (len(classes) if previous else 0), num_heads=len(classes) + exclusive, **given)
    priors = tuple(0.02 * (k + 1) for k in range(len(classes)))
    stage = small.stage(exclusive=exclusive, network=network, priors=priors, previous=previous)
    plan = small.plan(labels, channels=channels, normalization=(Normalization(kind="zscore"),) * len(channels), stages={"2d": stage})
    torch.manual_seed(seed)
    net = build_learner(stage, small.CPU, exclusive=exclusive, precision="fp32").net
    # The biases and norms of a trained net are no zeros and ones.
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return Side(plan=plan, stage=stage, weights={name: value.clone() for name, value in net.state_dict().items()})


def answer(of: Side, x: Tensor, weights: dict[str, Tensor] | None = None) -> Tensor:
    """Logits of the finest head."""
    net = build_learner(of.stage, small.CPU, exclusive=of.plan.labels.exclusive, precision="fp32").net
    net.load_state_dict(dict(of.weights) if weights is None else weights)
    with torch.no_grad():
        y: Tensor = net.eval()(x)[0]
    return y


def close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-4, atol=1e-5)


def test_equal_nets_are_taken_as_they_are() -> None:
    source, fresh = side(seed=1), side(seed=2)
    result = transfer(source, fresh)
    assert (result.adapted, result.anew) == ((), ())
    assert close(answer(fresh, X[:, :1], result.weights), answer(source, X[:, :1]))
    assert result.sentences == (
        f"{len(fresh.weights)} of {len(fresh.weights)} tensors are kept as they were, 0 are adapted: 100.0% of the weights",
    )


@pytest.mark.parametrize("exclusive", [False, True])
def test_classes_are_matched_by_name(exclusive: bool) -> None:
    source, fresh = side(("a", "b", "c"), seed=1, exclusive=exclusive), side(("new", "c", "a"), seed=2, exclusive=exclusive)
    result = transfer(source, fresh)
    ours, theirs = answer(fresh, X[:, :1], result.weights), answer(source, X[:, :1])
    first = int(exclusive)
    assert close(ours[:, first + 1], theirs[:, first + 2])
    assert close(ours[:, first + 2], theirs[:, first])
    if exclusive:
        assert close(ours[:, 0], theirs[:, 0])
    finest = f"heads.{fresh.count('heads') - 1}.bias"
    assert result.weights[finest][first] == fresh.weights[finest][first]
    assert result.anew == ()
    assert {name.split(".")[0] for name in result.adapted} == {"heads"}
    assert result.sentences[1] == "classes: kept c, a; new new; left out b"


def test_heads_of_another_kind_or_of_other_classes_are_new() -> None:
    for source in (side(seed=1, exclusive=True), side(("x", "y"), seed=1)):
        fresh = side(seed=2)
        result = transfer(source, fresh)
        assert {name.split(".")[0] for name in result.anew} == {"heads"}
        assert all(torch.equal(result.weights[name], fresh.weights[name]) for name in result.anew)
        assert result.sentences[-1].startswith("made anew: heads.0")


def test_fewer_channels_that_look_alike_give_the_same() -> None:
    source, fresh = side(channels=("channel 0", "channel 1", "channel 2"), seed=1), side(channels=("channel 0",), seed=2)
    result = transfer(source, fresh)
    grey = X[:, :1]
    assert close(answer(fresh, grey, result.weights), answer(source, grey.repeat(1, 3, 1, 1)))
    assert result.adapted == ("encoder.0.0.conv.weight",)
    assert "first layer: from channel 0, channel 1, channel 2 to channel 0" in result.sentences
    back = transfer(fresh, source)
    assert close(answer(source, grey.repeat(1, 3, 1, 1), back.weights), answer(fresh, grey))


def test_channels_are_matched_by_name() -> None:
    source, fresh = side(channels=("T1", "T2", "PD"), seed=1), side(channels=("PD", "T1", "T2"), seed=2)
    result = transfer(source, fresh)
    assert close(answer(fresh, X[:, [2, 0, 1]], result.weights), answer(source, X))
    assert not close(answer(fresh, X, result.weights), answer(source, X))


@pytest.mark.parametrize(
    ("there", "here", "expected"),
    [
        (("T1", "T2"), ("T2", "FLAIR"), [1, None]),
        (("T1", "T2"), ("CT", "PET"), [0, 1]),  # nothing in common, and as many: in order
        (("R", "G", "B"), ("grey",), [None]),
        (("channel 0", "channel 1", "channel 2"), ("channel 0",), [None]),  # the first is not red for certain
        (("channel 0", "channel 1"), ("channel 0", "channel 1"), [0, 1]),
    ],
)
def test_which_channel_is_which(there: tuple[str, ...], here: tuple[str, ...], expected: list[int | None]) -> None:
    assert match_channels(there, here) == expected


@pytest.mark.parametrize(("deep", "shallow"), [(1, 2), (2, 1)])
def test_levels_are_counted_from_the_finest(deep: int, shallow: int) -> None:
    four = side(seed=deep, features=(4, 8, 12, 16), strides=((1, 1), (2, 2), (2, 2), (2, 2)), kernels=((3, 3),) * 4)
    three = side(seed=shallow)
    # Level 0 and 1 of the decoder are its last two modules, whatever the depth; of a deeper net's level 2 there is none here.
    result = transfer(four, three)
    pairs = {"decoder.1": "decoder.2", "decoder.0": "decoder.1", "ups.1": "ups.2", "ups.0": "ups.1", "heads.0": "heads.1"}
    for here, there in pairs.items():
        names = [name for name in three.weights if name.startswith(here)]
        assert names
        assert all(torch.equal(result.weights[name], four.weights[name.replace(here, there)]) for name in names)
    assert result.anew == ()
    other = transfer(three, four)
    assert {".".join(name.split(".")[:2]) for name in other.anew} == {"encoder.3", "ups.0", "decoder.0", "heads.0"}
    assert torch.equal(other.weights["decoder.2.0.conv.weight"], three.weights["decoder.1.0.conv.weight"])


@pytest.mark.parametrize(
    ("there", "here", "said"),
    [(2, 1, "left behind: decoder.0.1, decoder.1.1"), (1, 2, "made anew: decoder.0.1, decoder.1.1")],
)
def test_a_decoder_of_other_convolutions_is_told_of(there: int, here: int, said: str) -> None:
    source, fresh = side(seed=1, convs=2, decoder_convs=there), side(seed=2, convs=2, decoder_convs=here)
    result = transfer(source, fresh)
    assert result.sentences[1:] == (said,)
    assert torch.equal(result.weights["decoder.0.0.conv.weight"], source.weights["decoder.0.0.conv.weight"])


def test_what_has_another_shape_is_new() -> None:
    source, fresh = side(seed=1), side(seed=2, features=(4, 8, 20))
    result = transfer(source, fresh)
    assert {".".join(name.split(".")[:2]) for name in result.anew} == {"encoder.2", "ups.0"}


def test_a_cascade_starts_as_its_plain_net() -> None:
    source, fresh = side(seed=1), side(seed=2, previous="2d_lowres")
    result = transfer(source, fresh)
    assert close(answer(fresh, X, result.weights), answer(source, X[:, :1]))
    # From a cascade to one of other classes: the channels of the stage before go by class.
    behind = side(("b", "z"), seed=3, previous="2d_lowres")
    moved = transfer(replace(fresh, weights=fresh.weights), behind).weights["encoder.0.0.conv.weight"]
    given = fresh.weights["encoder.0.0.conv.weight"]
    assert torch.equal(moved[:, 1], given[:, 2])
    assert not moved[:, 2].any()


def test_everything_is_named_once() -> None:
    result: Transfer = transfer(side(("a",), seed=1), side(("a", "b"), seed=2, features=(4, 8, 16)))
    assert sorted((*result.kept, *result.adapted, *result.anew)) == sorted(result.weights)
