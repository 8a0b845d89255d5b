"""Whether a plan is for the data that a data set holds now: its classes, channels and axes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from autoseg.plan import Plan

#: Names that a message lists; the rest are counted.
SHOWN = 4


def misfits(plan: Plan, *, classes: Sequence[str], num_channels: int | None = None, num_axes: int | None = None) -> list[str]:
    """In what a plan is for other data than these; a sentence each, empty if it fits.

    Parameters
    ----------
    plan : Plan
    classes : sequence of str
        Of the data, in channel order.
    num_channels, num_axes : int or None
        Of the data's images; None if they have not been looked at.
    """
    return list(_misfits(plan, tuple(classes), num_channels, num_axes))


def _misfits(plan: Plan, classes: tuple[str, ...], num_channels: int | None, num_axes: int | None) -> Iterator[str]:
    planned = plan.labels.classes
    if set(planned) != set(classes):
        only_plan = [name for name in planned if name not in classes]
        only_data = [name for name in classes if name not in planned]
        parts = [f"only in the plan {_list(only_plan)}"] * bool(only_plan) + [f"only in the data {_list(only_data)}"] * bool(only_data)
        yield f"classes: {len(planned)} in the plan, {len(classes)} in the data; {', '.join(parts)}"
    elif planned != classes:
        k = next(k for k, (a, b) in enumerate(zip(planned, classes, strict=True)) if a != b)
        yield f"classes: in another order; number {k + 1} is {planned[k]} in the plan and {classes[k]} in the data"
    if num_channels is not None and num_channels != len(plan.normalization):
        yield f"channels: {len(plan.normalization)} in the plan, {num_channels} in the data"
    if num_axes is not None and num_axes != plan.num_axes:
        yield f"axes: {plan.num_axes} in the plan, {num_axes} in the data"


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
