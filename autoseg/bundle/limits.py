"""What a plan from elsewhere must hold before a net is built of it: nothing that prediction multiplies may be absurd."""

from __future__ import annotations

import math
from collections.abc import Iterator

from autoseg.errors import FileFormatError
from autoseg.io.json_files import from_json
from autoseg.io.names import escape_name
from autoseg.labels import LabelSpace
from autoseg.plan import PLAN_VERSION, Network, Normalization, Plan, Stage, contradictions

#: 8192 x 8192, 512 x 512 x 512; every pixel of a patch costs memory for all features of the finest stage.
MAX_PATCH = 2**27
MAX_STAGES, MAX_CONVS, MAX_FEATURES, MAX_KERNEL, MAX_STRIDE = 16, 32, 2**14, 31, 16
MAX_CLASSES = 2**14
#: A nanometre, in mm: what electron microscopes see.
FINEST = 1e-6
MAX_VALUE = 2**32 - 1


def checked_plan(text: str, stage: str, source: str) -> Plan:
    """A plan from JSON, fit to predict with.

    Raises
    ------
    FileFormatError
        Naming `source` and everything that is wrong.
    """
    try:
        plan = from_json(text, Plan, source=source)
    except (ArithmeticError, RecursionError) as error:  # strides of 0, numbers beyond all types
        raise FileFormatError(f"{source} is damaged: {error}") from None
    if plan.version != PLAN_VERSION:
        advice = "Update autoseg." if plan.version > PLAN_VERSION else "Export the model again with this version, from a new training."
        raise FileFormatError(f"{source} is of version {plan.version}; this autoseg reads {PLAN_VERSION}. {advice}")
    if stage not in plan.stages:
        raise FileFormatError(f"{source} has no stage {stage[:80]!r}")
    if problems := [*_of_labels(plan.labels), *_of_axes(plan, plan.stages[stage]), *_of_normalization(plan.normalization)]:
        raise FileFormatError("\n".join([f"{source} cannot be predicted with:", *(f"  {problem}" for problem in problems)]))
    if problems := contradictions(plan):
        raise FileFormatError("\n".join([f"{source} contradicts itself:", *(f"  {problem}" for problem in problems)]))
    return plan


def _of_labels(labels: LabelSpace) -> Iterator[str]:
    if len(labels.classes) > MAX_CLASSES:
        yield f"labels.classes: at most {MAX_CLASSES}, got {len(labels.classes)}"
    for name in labels.classes:
        try:
            escape_name(name)
        except ValueError as error:
            yield f"labels.classes: {error}"
    if any(not 0 < value <= MAX_VALUE for value in labels.values):
        yield f"labels.values: must lie in 1 to {MAX_VALUE}"


def _of_axes(plan: Plan, stage: Stage) -> Iterator[str]:
    network = stage.network
    axes = network.num_axes
    sliced = stage.slice_axis is not None
    if plan.num_axes not in (2, 3) or axes not in (2, 3) or plan.num_axes != axes + sliced:
        yield f"num_axes: a net of {axes} axes and data of {plan.num_axes}, {'sliced' if sliced else 'not sliced'}, do not go together"
        return
    if sliced and stage.slice_axis not in range(plan.num_axes):
        yield f"slice_axis: must be 0 to {plan.num_axes - 1}, got {stage.slice_axis}"
    if any(edge < 1 for edge in stage.patch) or math.prod(stage.patch) > MAX_PATCH:
        yield f"patch: must be positive, with at most {MAX_PATCH} pixels, got {stage.patch}"
    if any(not FINEST <= s <= 1 / FINEST for s in stage.spacing):
        yield f"spacing: must lie in {FINEST:g} to {1 / FINEST:g}, got {stage.spacing}"
    if len(set(stage.mirror_axes)) != len(stage.mirror_axes) or any(axis not in range(axes) for axis in stage.mirror_axes):
        yield f"mirror_axes: must be axes of the net, each once, got {stage.mirror_axes}"
    if stage.mirror_swap and sorted(stage.mirror_swap) != list(range(len(plan.labels.classes))):
        yield f"mirror_swap: must name each of the {len(plan.labels.classes)} classes once"
    yield from _of_network(network)


def _of_network(network: Network) -> Iterator[str]:
    convs = (network.convs, network.convs_up)
    if len(network.features) > MAX_STAGES or not 1 <= min(convs) <= max(convs) <= MAX_CONVS:
        yield f"network: at most {MAX_STAGES} stages of 1 to {MAX_CONVS} convolutions, got {len(network.features)} of {max(convs)}"
    if sum(network.blocks) > MAX_CONVS * MAX_STAGES:
        yield f"network: at most {MAX_CONVS * MAX_STAGES} residual blocks, got {sum(network.blocks)}"
    if any(not 1 <= n <= MAX_FEATURES for n in (*network.features, network.in_channels, network.num_heads)):
        yield f"network: features, channels and heads must lie in 1 to {MAX_FEATURES}"
    if any(not 1 <= s <= MAX_STRIDE for stride in network.strides for s in stride):
        yield f"network.strides: must lie in 1 to {MAX_STRIDE}"
    if any(not 1 <= k <= MAX_KERNEL or k % 2 == 0 for kernel in network.kernels for k in kernel):
        yield f"network.kernels: must be odd, 1 to {MAX_KERNEL}"


def _of_normalization(rules: tuple[Normalization, ...]) -> Iterator[str]:
    for i, rule in enumerate(rules):
        given = [value for value in (rule.lower, rule.upper, rule.mean, rule.std) if value is not None]
        if not all(map(math.isfinite, given)) or (rule.std is not None and rule.std <= 0):
            yield f"normalization.{i}: numbers must be finite, and std above 0"
        if rule.kind == "ct" and len(given) < 4:
            yield f"normalization.{i}: ct needs lower, upper, mean and std"
