"""A stage of which a person has set some fields: the others follow, from the grid over the net to the memory and the length."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from autoseg.budget import GIB
from autoseg.errors import PlanError, UsageError
from autoseg.fingerprint import Fingerprint
from autoseg.plan import Network, Plan, Stage
from autoseg.planners.candidates import with_patch
from autoseg.planners.limits import beyond_limits
from autoseg.planners.search import MAX_CHECKPOINTED, MIN_BATCH, Cap, Tracer, batch_cap, batch_words, raise_batch
from autoseg.planners.settings import Path, Setting, typed, with_settings
from autoseg.planners.spacing import median_shape, shapes_of
from autoseg.planners.stages import duration_of, num_images
from autoseg.planners.topology import MIN_EDGE
from autoseg.planners.view import shown
from autoseg.recipe import LOSS_FOR, epoch_length, follows_length, recipe_for, with_data_of, with_optimizer

#: From this batch on the memory is estimated first: tracing takes time for each sample.
LARGE_BATCH = 16
#: Fields that are settled one by one, each with what follows from it; the others are replaced as they stand.
SETTLED = ("spacing", "resample", "recipe", "patch", "network", "checkpointed_stages", "batch")
Given = Mapping[Path, Setting]


@dataclass(frozen=True, kw_only=True)
class Context:
    """What the consequences of a setting are computed from.

    Parameters
    ----------
    plan : Plan
        Its own fields are settled; its stages are not looked at.
    fingerprint : Fingerprint
    tracer : Tracer
    num_folds : int
    recropped : bool
        Whether cases are cropped was set.
    """

    plan: Plan
    fingerprint: Fingerprint
    tracer: Tracer
    num_folds: int
    recropped: bool


def resettled(stage: Stage, given: Given, context: Context) -> Stage:
    """The stage with what was set (by path from the stage) and all that follows from it.

    Raises
    ------
    UsageError
        If a value cannot be built.
    PlanError
        If the memory exceeds the budget's.
    """
    plain = {path: setting for path, setting in given.items() if path[0] not in SETTLED}
    # The reasons of a length stand under their own name; _with_length writes them.
    words = {".".join(path): set_by(setting) for path, setting in plain.items() if not path[0].startswith("iterations")}
    now = _because(with_settings(stage, plain), **words)
    now = _with_grid(now, given, context)
    now = _with_recipe(now, given)
    now = _with_patch(now, given, context, before=stage)
    now = _with_network(now, given)
    now = with_settings(now, _below(given, "checkpointed_stages"))
    _check_limits(now, given, context)
    now = _within_memory(now, given, context, before=stage)
    return _with_length(now, given, context, before=stage)


def _below(given: Given, *names: str) -> dict[Path, Setting]:
    """The settings of these fields and of what is below them."""
    return {path: setting for path, setting in given.items() if path[0] in names}


def _because(stage: Stage, **reasons: str) -> Stage:
    return replace(stage, reasons={**stage.reasons, **reasons})


def set_by(setting: Setting) -> str:
    """The reason of what a person decided."""
    return f"set by --set {setting.text}"


def _with_grid(stage: Stage, given: Given, context: Context) -> Stage:
    """Another spacing or crop, and the median shape of the images on it (`planners.spacing`)."""
    chosen = _below(given, "spacing", "resample")
    if not chosen and not context.recropped:
        return stage
    spaced = chosen.get(("spacing",))
    spacing = stage.spacing if spaced is None else spaced.value
    if spaced is not None and (len(spacing) != context.plan.num_axes or min(spacing) <= 0):
        raise spaced.refused(f"must hold {context.plan.num_axes} positive numbers, one for each axis of the data.")
    resample = chosen[("resample",)].value if ("resample",) in chosen else stage.resample or spaced is not None
    shape = _median_shape(context, spacing if resample else None, stage.slice_axis)
    words = {"spacing": " and ".join(map(set_by, chosen.values()))} if chosen else {}
    return _because(replace(stage, spacing=spacing, resample=resample, image_shape=shape), **words)


def _median_shape(context: Context, spacing: Sequence[float] | None, slice_axis: int | None) -> tuple[int, ...]:
    """Median shape of the cases, resampled to a spacing (never across slices) or as they are."""
    shapes = shapes_of(context.fingerprint, crop=context.plan.crop_to_nonzero)
    return median_shape(context.fingerprint, shapes, spacing, slice_axis)


def _with_recipe(stage: Stage, given: Given) -> Stage:
    """Another optimizer brings its own rate and schedule; another length the optimizer that goes with it; what was set comes on top."""
    recipe, chosen = stage.recipe, {path[1:]: setting for path, setting in _below(given, "recipe").items()}
    optimizer = chosen.get(("optimizer",))
    if optimizer is not None:
        recipe = replace(with_optimizer(recipe, optimizer.value), pinned=True)
    elif ("iterations",) in given and not recipe.pinned and follows_length(recipe):
        recipe = recipe_for(recipe.loss, stage.iterations)
    recipe = with_data_of(recipe, stage.recipe)
    recipe = with_settings(recipe, chosen)
    words = {".".join(path): set_by(setting) for path, setting in _below(given, "recipe").items()}
    if optimizer is not None:
        words["recipe"] = words.pop("recipe.optimizer")
    elif not chosen and recipe != stage.recipe:
        words["recipe"] = f"{recipe.optimizer}, as {stage.iterations:,} iterations need"
    return _because(replace(stage, recipe=recipe), **words)


def _with_patch(stage: Stage, given: Given, context: Context, *, before: Stage) -> Stage:
    """The patch that was set, or one that follows the image to another grid; with the net that belongs to it."""
    asked = given.get(("patch",))
    if asked is None:
        return stage if stage.image_shape == before.image_shape else _followed(stage, context, before)
    wanted, num_axes = asked.value, stage.network.num_axes
    if len(wanted) != num_axes or min(wanted) < MIN_EDGE:
        raise asked.refused(f"must hold {num_axes} sizes of at least {MIN_EDGE}, one for each axis of the net.")
    if ("network", "strides") in given or ("network",) in given:
        net = with_settings(stage.network, {path[1:]: s for path, s in _below(given, "network").items()})
        _check_multiple(wanted, net, given)
        made = replace(stage, patch=wanted, network=net)
    else:
        made = with_patch(stage, wanted)
        if made.patch != wanted:
            near = " and ".join(",".join(map(str, patch)) for patch in nearest_patches(stage, wanted))
            raise asked.refused(f"the net for it pools by {_by(made.network.multiple)}; the nearest patches are {near}.")
    words = {"view": f"the patch shows {shown(made):.0%} of the image's edge"} if "view" in stage.reasons else {}
    return _because(made, patch=set_by(asked), **words)


def nearest_patches(stage: Stage, wanted: Sequence[int]) -> list[tuple[int, ...]]:
    """The next smaller and larger patch that the planner's net for them can pool."""
    multiple = with_patch(stage, wanted).network.multiple
    lower = tuple(max(m, size // m * m) for size, m in zip(wanted, multiple, strict=True))
    upper = tuple(-(-size // m) * m for size, m in zip(wanted, multiple, strict=True))
    return [patch for patch in dict.fromkeys((lower, upper)) if with_patch(stage, patch).patch == patch]


def _followed(stage: Stage, context: Context, before: Stage) -> Stage:
    """After another spacing or crop: the whole image still, where it was and fits; else no larger than it was."""
    # A hundred bytes a pixel are less than the finest stage's activations take: what exceeds the memory by that is not worth a trace.
    conceivable = 100 * MIN_BATCH * math.prod(stage.net_shape) < context.plan.budget.memory_bytes
    if conceivable and all(edge >= size for edge, size in zip(before.patch, before.net_shape, strict=True)):
        whole = with_patch(stage, stage.net_shape)
        if any(context.tracer.fits(replace(candidate, batch=MIN_BATCH)) for candidate in _recomputed(whole)):
            return _because(whole, patch="the whole image on the grid that was set")
    cut = with_patch(stage, [min(edge, size) for edge, size in zip(before.patch, stage.net_shape, strict=True)])
    return _because(cut, patch="as large as before on the grid that was set")


def _recomputed(stage: Stage) -> list[Stage]:
    """The stage with nothing computed twice, then with more and more."""
    levels = range(min(MAX_CHECKPOINTED, len(stage.network.features) - 1) + 1)
    return [replace(stage, checkpointed_stages=n) for n in levels]


def _with_network(stage: Stage, given: Given) -> Stage:
    """The net that was set; fewer features alone make a shallower one."""
    chosen = {path[1:]: setting for path, setting in _below(given, "network").items()}
    if not chosen:
        return stage
    base, features = stage.network, chosen.get(("features",))
    if features is not None and not chosen.keys() & {(), ("strides",), ("kernels",)}:
        depth = len(features.value)
        if not 2 <= depth <= len(base.features):
            raise features.refused(f"must hold 2 to {len(base.features)} numbers, one for each stage that the patch allows.")
        shallower = {name: getattr(base, name)[:depth] for name in ("features", "strides", "kernels", "blocks")}
        base = replace(base, **shallower)
    net = with_settings(base, chosen)
    _check_multiple(stage.patch, net, given)
    if () in chosen or net.kind != base.kind:
        # What was decided of the planned net says nothing of another.
        stage = replace(stage, reasons={name: why for name, why in stage.reasons.items() if not name.startswith("network.")})
    return _because(replace(stage, network=net), **{".".join(path): set_by(s) for path, s in _below(given, "network").items()})


def _check_multiple(patch: Sequence[int], net: Network, given: Given) -> None:
    if any(s < 1 for s in net.multiple) or len(patch) != net.num_axes or any(p % m for p, m in zip(patch, net.multiple, strict=True)):
        raise UsageError(
            f"{typed(_below(given, 'patch', 'network').values())}: the net pools by {_by(net.multiple)}, of which the patch {_by(patch)} "
            "must be a multiple."
        )


def _check_limits(stage: Stage, given: Given, context: Context) -> None:
    """UsageError for the first number that no training can use, naming the option that set it."""
    batch = given.get(("batch",))
    if batch is not None and batch.value < 1:
        raise batch.refused("must be at least 1.")
    labels, loss = context.plan.labels, stage.recipe.loss
    if LOSS_FOR.get(loss, labels.exclusive) != labels.exclusive:
        kind = "exclude each other" if labels.exclusive else "may overlap"
        raise UsageError(f"{typed(_below(given, 'recipe').values())}: {loss} is not for classes that {kind}.")
    for path, why in beyond_limits(stage, context.plan.budget, labels):
        steps = tuple(path.split("."))
        guilty = [s for at, s in given.items() if at == steps[: len(at)]] or list(given.values())
        raise UsageError(f"{typed(guilty)}: {path} {why}.")


def _within_memory(stage: Stage, given: Given, context: Context, *, before: Stage) -> Stage:
    """Batch and checkpointing for what was set, and the traced memory."""
    reshaped = (stage.patch, stage.network) != (before.patch, before.network)
    free = reshaped or (stage.precision, stage.checkpointed_stages) != (before.precision, before.checkpointed_stages)
    batch, tracer = given.get(("batch",)), context.tracer
    start = batch.value if batch is not None else MIN_BATCH if free else stage.batch
    candidates = _recomputed(stage) if reshaped and ("checkpointed_stages",) not in given else [stage]
    candidates = [replace(candidate, batch=start) for candidate in candidates]
    _check_large(candidates[-1], given, context)
    found = next((candidate for candidate in candidates if tracer.fits(candidate)), candidates[-1])
    words = {}
    if batch is not None:
        words["batch"] = set_by(batch)
    elif free:
        cap = _cap(found, context, before)
        found = raise_batch(found, tracer, cap.batch) if tracer.fits(found) else found
        words["batch"] = batch_words(found, cap)
    if found.checkpointed_stages != before.checkpointed_stages or ("checkpointed_stages",) in given:
        asked = given.get(("checkpointed_stages",))
        fewest = f"{found.checkpointed_stages}: the fewest that are computed twice for the batch to fit"
        words["checkpointed_stages"] = fewest if asked is None else set_by(asked)
    memory = tracer.memory(found)
    if memory.peak_bytes > memory.budget_bytes:
        raise _too_large(f"{memory.peak_bytes / GIB:.1f} GiB (traced)", found, given, context)
    words["memory"] = f"{memory.peak_bytes / GIB:.2f} GiB traced of {memory.budget_bytes / GIB:.1f} GiB"
    same_step = not free and found.batch == before.batch and stage.recipe.optimizer == before.recipe.optimizer
    return _because(replace(found, memory=memory, step_s=stage.step_s if same_step else None), **words)


def _cap(stage: Stage, context: Context, before: Stage) -> Cap:
    """Largest batch that the data set supports and, where time decided the batch before, that takes no longer than it did."""
    cap = batch_cap(num_images(context.fingerprint, stage), stage.net_shape, stage.patch)
    if before.step_s is None:
        return cap
    as_long = max(MIN_BATCH, before.batch * math.prod(before.patch) // math.prod(stage.patch))
    if cap.batch <= as_long:
        return cap
    return Cap(as_long, "a larger one would hold more pixels than the step that was timed for the hours, and take longer")


def _check_large(stage: Stage, given: Given, context: Context) -> None:
    """PlanError for a batch that is far beyond the memory by the difference between one sample and two."""
    if stage.batch < LARGE_BATCH:
        return
    one, two = (context.tracer.memory(replace(stage, batch=n)).peak_bytes for n in (1, 2))
    about = one + (stage.batch - 1) * (two - one)
    if about > 1.5 * context.plan.budget.memory_bytes:
        raise _too_large(f"about {about / GIB:,.0f} GiB", stage, given, context)


def _too_large(needed: str, stage: Stage, given: Given, context: Context) -> PlanError:
    budget, twice = context.plan.budget, stage.checkpointed_stages
    what = f"{stage.name} with patch {_by(stage.patch)} and batch {stage.batch}" + (f", {twice} stages computed twice," if twice else "")
    more = f", or {stage.name}.checkpointed_stages={MAX_CHECKPOINTED}" if twice < MAX_CHECKPOINTED else ""
    return PlanError(
        f"{typed(given.values())}: {what} needs {needed}, but {budget.name} has {budget.memory_bytes / GIB:.1f} GiB. "
        f"Set a smaller patch or batch{more}."
    )


def _with_length(stage: Stage, given: Given, context: Context, *, before: Stage) -> Stage:
    """Iterations for another batch, unless they were set; and the epochs that they are cut into."""
    asked, epoch = given.get(("iterations",)), given.get(("iterations_per_epoch",))
    words = {} if epoch is None else {"iterations_per_epoch": set_by(epoch)}
    if asked is not None:
        length = stage.iterations_per_epoch if epoch is not None else epoch_length(stage.iterations)
        return _because(replace(stage, iterations_per_epoch=length), length=set_by(asked), **words)
    if stage.batch == before.batch:
        if before.step_s is not None and stage.step_s is None:
            words["length"] = (
                "the time ends the training; the steps that the other reasons count are those before --set: a step of what was set has not "
                "been measured"
            )
        return _because(stage, **words)
    duration = duration_of(replace(stage, step_s=None), context.fingerprint, context.num_folds, fold_s=None)
    length = stage.iterations_per_epoch if epoch is not None or context.plan.budget.hours is not None else duration.iterations_per_epoch
    by_time = "; the time may end the training before: a step of what was set has not been measured"
    reason = duration.reason + ("" if context.plan.budget.hours is None else by_time)
    return _because(replace(stage, iterations=duration.iterations, iterations_per_epoch=length), length=reason, **words)


def _by(sizes: Sequence[int]) -> str:
    return " x ".join(map(str, sizes))
