"""--set: what a person decides of a plan, and a plan in which all that follows from it was decided anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from autoseg.errors import UsageError
from autoseg.fingerprint import Fingerprint
from autoseg.plan import Normalization, Plan, contradictions
from autoseg.planners.resettle import Context, resettled
from autoseg.planners.search import Tracer
from autoseg.planners.settings import Path, Setting, parse_settings, typed, with_settings


def apply_overrides(
    plan: Plan, texts: Sequence[str], fingerprint: Fingerprint, *, num_folds: int = 5, tracer: Tracer | None = None
) -> Plan:
    """The plan with fields that a person has set, and everything that follows from them decided anew.

    Parameters
    ----------
    plan : Plan
    texts : sequence of str
        As typed after --set; `settings.parse_settings` says what is understood.
    fingerprint : Fingerprint
        Of the plan's data set.
    num_folds : int
        Folds that the data set is split into.
    tracer : Tracer, optional
        With traces that are known already.

    Returns
    -------
    Plan
        Its `overrides` are the texts. Another patch gets the net that belongs to it; another patch, net, precision or checkpointing
        the largest batch that fits; another batch its number of iterations; and the memory is traced. What was set stays as set.

    Raises
    ------
    UsageError
        If a field does not exist or cannot have the value; the message names the option and what is allowed.
    PlanError
        If a stage needs more memory than the budget has.
    """
    settings = parse_settings(texts)
    absent = [s for s in settings if s.stage is not None and s.stage not in plan.stages]
    if absent:
        raise absent[0].refused(
            f"the plan has no configuration {absent[0].stage}; it has {', '.join(plan.stages)} (--configs names others)."
        )
    own = {s.path: s for s in settings if s.stage is None}
    top = _with_own(plan, own, fingerprint)
    tracer = tracer or Tracer(plan.budget, exclusive=plan.labels.exclusive, has_ignore=plan.labels.has_ignore)
    context = Context(
        plan=top, fingerprint=fingerprint, tracer=tracer, num_folds=num_folds, recropped=top.crop_to_nonzero != plan.crop_to_nonzero
    )
    stages = {}
    for name, stage in plan.stages.items():
        given = {s.path: s for s in settings if s.stage == name}
        stages[name] = resettled(stage, given, context) if given or context.recropped else stage
    result = replace(top, stages=stages, overrides=tuple(s.text for s in settings))
    if problems := contradictions(result):
        listing = "\n".join(f"  {problem}" for problem in problems)
        raise UsageError(f"{typed(settings)}: the plan would contradict itself:\n{listing}")
    return result


def _with_own(plan: Plan, given: Mapping[Path, Setting], fingerprint: Fingerprint) -> Plan:
    """The plan's own fields, and their reasons."""
    reasons = dict(plan.reasons)
    for path, setting in given.items():
        reasons["crop" if path == ("crop_to_nonzero",) else ".".join(path)] = f"set by --set {setting.text}"
    plan = replace(with_settings(plan, given), reasons=reasons)
    rules = tuple(_with_constants(rule, c, fingerprint) for c, rule in enumerate(plan.normalization))
    if len(rules) != fingerprint.num_channels:
        raise UsageError(
            f"{typed(given.values())}: there must be a rule for each of {fingerprint.num_channels} channels, got {len(rules)}."
        )
    return replace(plan, normalization=rules)


def _with_constants(rule: Normalization, channel: int, fingerprint: Fingerprint) -> Normalization:
    """CT's constants are the foreground's, as measured, where none are given."""
    if rule.kind != "ct" or channel >= len(fingerprint.foreground):
        return rule
    facts = fingerprint.foreground[channel]
    known: dict[str, Any] = {
        "lower": facts.percentile_00_5,
        "upper": facts.percentile_99_5,
        "mean": facts.mean,
        "std": max(facts.std, 1e-8),
    }
    return replace(rule, **{name: value for name, value in known.items() if getattr(rule, name) is None})
