"""Plans in words and columns: what `autoseg plan` prints."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from autoseg.cli.progress import count, duration
from autoseg.plan import Network, Normalization, Plan, Stage, length_words
from autoseg.recipe import Recipe

GIB = 1024**3
#: Lines are wrapped here; a value of a difference is cut here.
WIDTH, CUT = 100, 60
LABEL = 16


def plan_lines(plan: Plan) -> Iterator[str]:
    """A plan as lines: what holds for all of it, its stages side by side, and the reasons."""
    for label, text in _whole(plan):
        yield from _wrapped(f"  {label:{LABEL}}", text)
    yield ""
    stages = list(plan.stages.values())
    columns = [dict(_stage(stage, plan)) for stage in stages]
    # A part of the memory, such as cuDNN's workspace, may stand in one stage only.
    labels = list(dict.fromkeys(label for column in columns for label in column))
    rows = [("", *(stage.name for stage in stages)), *((label, *(column.get(label, "") for column in columns)) for label in labels)]
    yield from (f"  {line}" for line in grid(rows, first=LABEL))
    yield ""
    yield "Reasons"
    for key, reason in plan.reasons.items():
        yield from _wrapped(f"  {key}: ", reason)
    for stage in stages:
        yield f"  {stage.name}"
        for key, reason in stage.reasons.items():
            yield from _wrapped(f"    {key}: ", reason)


def _whole(plan: Plan) -> Iterator[tuple[str, str]]:
    budget = plan.budget
    hours = "" if budget.hours is None else f", {duration(3600 * budget.hours)} for all folds"
    yield "budget", f"{budget.name}, {budget.memory_bytes / GIB:.1f} GiB, {count(budget.workers, 'reading thread')}{hours}"
    kind = "exclusive (softmax)" if plan.labels.exclusive else "free to overlap (a sigmoid each)"
    yield "classes", f"{plan.labels.num_classes}, {kind}: {', '.join(plan.labels.classes)}"
    if plan.labels.has_ignore:
        yield "unlabelled", "pixels may be marked so; they count nowhere"
    rules = [f"{name}: {_normalization(rule)}" for name, rule in zip(plan.channels, plan.normalization, strict=False)]
    yield "normalization", "; ".join(rules or map(_normalization, plan.normalization))
    yield "crop", "to the box of non-zero pixels" if plan.crop_to_nonzero else "none"
    if plan.overrides:
        yield "set by a person", " ".join(f"--set {text}" for text in plan.overrides)


def _normalization(rule: Normalization) -> str:
    given = {name: getattr(rule, name) for name in ("lower", "upper", "mean", "std")}
    numbers = [f"{name} {value:.4g}" for name, value in given.items() if value is not None]
    return f"{rule.kind} ({', '.join(numbers)})" if numbers else rule.kind


def _stage(stage: Stage, plan: Plan) -> Iterator[tuple[str, str]]:
    """Rows of one stage."""
    network, memory = stage.network, stage.memory
    yield "images", by(stage.image_shape) + ("" if stage.slice_axis is None else f", sliced across axis {stage.slice_axis}")
    yield "spacing", f"{by(stage.spacing)} {plan.unit}, {'resampled' if stage.resample else 'as they are'}"
    yield "patch", by(stage.patch)
    yield "batch", str(stage.batch)
    yield "depth", f"{len(network.features)} stages, pools by {by(network.multiple)}"
    yield "features", _runs(network.features)
    if network.kind == "unet":
        yield "convolutions", convolutions(network)
    yield "precision", stage.precision
    twice = stage.checkpointed_stages
    yield "checkpointing", f"finest {twice} stages computed twice" if twice else "none"
    used = memory.peak_bytes / memory.budget_bytes if memory.budget_bytes else 0.0
    yield "memory", f"{_gib(memory.peak_bytes)} of {_gib(memory.budget_bytes)} ({used:.0%})"
    for name, size in memory.parts.items():
        yield f"  {name}", _gib(size)
    swap = " with classes exchanged" if stage.mirror_swap else ""
    yield "flips", f"axis {', '.join(map(str, stage.mirror_axes))}{swap}" if stage.mirror_axes else "none"
    yield "rotation", f"up to {stage.rotation_degrees:g} degrees"
    yield "iterations", length_words(stage, plan.budget.hours)
    if stage.step_s is not None:
        yield "step", f"{stage.step_s:.3g} s"
    yield from _recipe(stage.recipe)
    if stage.previous is not None:
        yield "previous", stage.previous


def convolutions(network: Network) -> str:
    """2 in each stage; 2 in each stage, 1 in the decoder's; or the residual blocks of the encoder's stages."""
    down, up = network.convs, network.convs_up
    if network.blocks:
        return f"residual blocks {_runs(network.blocks)}, {up} in each stage of the decoder"
    return f"{down} in each stage" + ("" if up == down else f", {up} in the decoder's")


def _recipe(recipe: Recipe) -> Iterator[tuple[str, str]]:
    momentum = f", momentum {recipe.momentum:g}" if recipe.optimizer == "sgd" else ""
    yield "recipe", f"{recipe.loss}, {recipe.optimizer}{momentum}"
    warmup = f", {recipe.warmup:.0%} warm-up" if recipe.warmup else ""
    yield "  rate", f"{recipe.lr:g}, {recipe.schedule}{warmup}"
    yield "  weight decay", f"{recipe.weight_decay:g}"


def stage_summary(stage: Stage) -> tuple[str, str, str, str]:
    """Name, patch, batch and memory of a stage, for a list of plans."""
    return stage.name, by(stage.patch), str(stage.batch), f"{_gib(stage.memory.peak_bytes)} of {_gib(stage.memory.budget_bytes)}"


def by(sizes: Sequence[float]) -> str:
    """2048 x 2048"""
    return " x ".join(f"{size:g}" for size in sizes)


def _runs(numbers: Sequence[int]) -> str:
    """32, 64, 128 and then 512 four times: "32 64 128 512*4"."""
    found: list[list[int]] = []
    for number in numbers:
        if found and found[-1][0] == number:
            found[-1][1] += 1
        else:
            found.append([number, 1])
    return " ".join(f"{number}*{count}" if count > 1 else str(number) for number, count in found)


def _gib(size: int) -> str:
    return f"{size / GIB:.2f} GiB"


def _wrapped(label: str, text: str) -> Iterator[str]:
    yield from textwrap.wrap(text, WIDTH, initial_indent=label, subsequent_indent=" " * min(len(label), 18), break_on_hyphens=False)


def grid(rows: Sequence[Sequence[str]], *, first: int = 0) -> Iterator[str]:
    """Rows as lines, columns as wide as their widest cell and two spaces apart."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    widths[0] = max(widths[0], first)
    for row in rows:
        yield "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def differences(a: Plan, b: Plan, *, reasons: bool = False) -> list[str]:
    """A line for each field in which two plans differ, by dotted path: "stages.2d.batch: 2 -> 4". Names of plans do not count."""
    left, right = (dict(_leaves(_content(plan), "")) for plan in (a, b))
    lines: list[str] = []
    for path in dict.fromkeys((*left, *right)):
        is_reason = path.startswith("reasons.") or ".reasons." in path
        if path == "name" or (is_reason and not reasons) or (path in left and path in right and left[path] == right[path]):
            continue
        if path not in right:
            lines.append(f"{path}: {_short(left[path])} -> (absent)")
        elif path not in left:
            lines.append(f"{path}: (absent) -> {_short(right[path])}")
        else:
            lines.append(f"{path}: {_change(left[path], right[path])}")
    return lines


def _content(plan: Plan) -> dict[str, Any]:
    from autoseg.io.json_files import to_json

    content: dict[str, Any] = json.loads(to_json(plan))
    return content


def _leaves(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Dotted paths with what stands there: numbers, texts and whole lists of them; lists of objects by number."""
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from _leaves(value, f"{path}.{key}" if path else key)
    elif isinstance(node, list) and any(isinstance(item, dict) for item in node):
        for k, item in enumerate(node):
            yield from _leaves(item, f"{path}.{k}")
    else:
        yield path, node


def _change(a: Any, b: Any) -> str:
    short = f"{_short(a)} -> {_short(b)}"
    if _short(a) != _short(b) or not isinstance(a, list):
        return short
    # Long lists that begin alike: where they differ says more.
    places = [k for k, (x, y) in enumerate(zip(a, b, strict=False)) if x != y]
    return f"{len(places)} of {len(a)} values differ, the first at {places[0]}: {_short(a[places[0]])} -> {_short(b[places[0]])}"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= CUT else f"{text[: CUT - 3]}..."
