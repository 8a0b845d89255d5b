"""What of a trained run goes into an export: plans and metrics without a word about single cases, and the nets stage by stage."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

from autoseg.bundle.manifest import CONFIDENCE, METRICS, SELECTION, BundledModel
from autoseg.checkpoint import Checkpoint, load_checkpoint, read_previous_stage
from autoseg.errors import FileFormatError
from autoseg.evaluate.calibration import read_calibration
from autoseg.evaluate.summary import Scores, load_summary
from autoseg.infer.alike import check_alike
from autoseg.infer.folds import Choice
from autoseg.infer.load import find_previous
from autoseg.infer.record import checksum
from autoseg.io.json_files import to_json
from autoseg.plan import Plan
from autoseg.select.selection import Selected, Selection
from autoseg.workspace import SUMMARY, fold_of

Progress = Callable[[int, int], None]

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class FoldMetrics:
    """Scores of a fold's own validation: means over cases, over classes and for each class, and the number of cases."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    num_cases: int
    mean: Scores
    classes: dict[str, Scores]


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """metrics.json: fold -> its validation scores. No case is named."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    folds: dict[str, FoldMetrics] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TrainedStage:
    """The folds of one stage that are exported.

    Parameters
    ----------
    run : Path
        results/NAME/PLAN/CONFIG-TRAINER.
    folds : dict of str -> Path
        Fold -> its checkpoint.
    total : int
        Folds that there would be if all were finished.
    """

    run: Path
    folds: dict[str, Path]
    total: int

    @property
    def name(self) -> str:
        """PLAN/CONFIG-TRAINER"""
        return f"{self.run.parent.name}/{self.run.name}"


def read_checkpoints(choice: Choice) -> Iterator[tuple[TrainedStage, str, Checkpoint]]:
    """Every net that a prediction with `choice` uses, one in memory at a time: those of the last stage, then of the stages before it.

    Raises
    ------
    FileFormatError, UsageError
        As `infer.load.load_model` raises them.
    """
    stage = TrainedStage(run=choice.run, folds=choice.folds, total=choice.total)
    while True:
        # A bundle has one plan for all nets of a stage.
        check_alike(stage.folds.values())
        sums: dict[Path, tuple[str, ...]] = {}
        previous = None
        for fold, path in stage.folds.items():
            checkpoint = load_checkpoint(path)
            previous = checkpoint.settings.previous
            sums[path] = tuple(part for part in checkpoint.previous.split(",") if part)
            yield stage, fold, checkpoint
        if previous is None:
            return
        found = {fold_of(path.parent): path for path in find_previous(previous, sums)}
        stage = TrainedStage(run=next(iter(found.values())).parents[1], folds=found, total=stage.total)


def collect_models(
    choice: Choice,
    add_plan: Callable[[str, bytes], object],
    add_net: Callable[[str, Checkpoint, str], str],
    progress: Progress | None,
    *,
    prefix: str = "",
) -> tuple[tuple[BundledModel, ...], str]:
    """Put every net that a prediction uses somewhere.

    Parameters
    ----------
    choice : Choice
    add_plan : callable(file, content)
        Called for each stage before its nets.
    add_net : callable(STAGE/foldK, checkpoint, SHA-256 of its file) -> file
    progress : callable(done, total), optional
    prefix : str
        Of the stages' folders.

    Returns
    -------
    tuple of BundledModel
        The first stage first.
    str
        The data set's name.
    """
    stages: list[TrainedStage] = []
    models: list[BundledModel] = []
    plan: Plan | None = None
    nets: dict[str, str] = {}
    sums: dict[str, str] = {}
    total = count_nets(choice)
    for done, (stage, fold, checkpoint) in enumerate(read_checkpoints(choice), start=1):
        folder = f"{prefix}{checkpoint.stage}"
        if not stages or stages[-1] is not stage:
            plan, nets, sums = plan or checkpoint.plan, {}, {}
            stages.append(stage)
            add_plan(f"{folder}/plan.json", to_json(shared_plan(checkpoint.plan, checkpoint.stage)).encode())
        sums[fold] = checksum(stage.folds[fold])
        nets[fold] = add_net(f"{folder}/fold{fold}", checkpoint, sums[fold])
        if len(nets) == len(stage.folds):
            facts = {"stage": checkpoint.stage, "run": stage.name, "plan": f"{folder}/plan.json"}
            models.append(BundledModel(**facts, nets=nets, checkpoints=sums, total=stage.total))
        if progress is not None:
            progress(done, max(done, total))
    assert plan is not None, "a choice has at least one fold"
    return tuple(reversed(models)), plan.dataset


def collect_all(
    source: Choice | Selected,
    add: Callable[[str, bytes], object],
    add_net: Callable[[str, Checkpoint, str], str],
    progress: Progress | None,
) -> tuple[tuple[BundledModel, ...], str]:
    """`collect_models` of a run, or of each member of a selection in folders 0-STAGE, 1-STAGE; and what goes along with the nets.

    That is the folds' scores; of a run the calibration of its expected Dice, if it has one; of a selection what was chosen.
    """
    if isinstance(source, Choice):
        found = collect_models(source, add, add_net, progress)
        add(METRICS, to_json(shared_metrics(source.folds)).encode())
        if (calibration := read_calibration(source.run)) is not None:
            add(CONFIDENCE, to_json(calibration).encode())
        return found
    models: list[BundledModel] = []
    choices = source.choices()
    counts, dataset = list(map(count_nets, choices)), ""
    for place, choice in enumerate(choices):
        before = sum(counts[:place])

        def tell(done: int, total: int, before: int = before) -> None:
            if progress is not None:
                progress(before + done, max(before + total, sum(counts)))

        prefix = "" if len(choices) == 1 else f"{place}-"
        member, dataset = collect_models(choice, add, add_net, tell, prefix=prefix)
        models += member
    checkpoints = {f"{choice.run.parent.name}/{choice.run.name}/{f}": path for choice in choices for f, path in choice.folds.items()}
    add(METRICS, to_json(shared_metrics(checkpoints)).encode())
    add(SELECTION, to_json(shared_selection(source.selection)).encode())
    return tuple(models), dataset


def count_nets(choice: Choice) -> int:
    """How many nets `read_checkpoints` gives as a rule; a cascade's folds stand behind as many."""
    return len(choice.folds) * (1 if read_previous_stage(next(iter(choice.folds.values()))) is None else 2)


def shared_selection(selection: Selection) -> Selection:
    """What `autoseg select` chose, without what it tried and without the cases that it left out."""
    return replace(selection, tried=(), left_out={})


def shared_plan(plan: Plan, stage: str) -> Plan:
    """The plan with what predicts, and without what tells of single cases.

    Kept are the stage and those before it. Sentences (reasons), options as they were typed (overrides) and weights of cases by their names
    go: a case's name may be a patient's number.
    """
    kept = [stage]
    while (before := plan.stages[kept[-1]].previous) is not None and before in plan.stages and before not in kept:
        kept.append(before)
    stages = {name: plan.stages[name] for name in kept}
    bare = {name: replace(s, reasons={}, recipe=replace(s.recipe, case_weights={})) for name, s in stages.items()}
    return replace(plan, stages=bare, reasons={}, overrides=())


def shared_metrics(folds: Mapping[str, Path]) -> Metrics:
    """The folds' validation scores without their cases; a fold whose summary cannot be read is left out, and the log says so."""
    found = {}
    for fold, checkpoint in folds.items():
        try:
            summary = load_summary(checkpoint.parent / SUMMARY)
        except FileFormatError as error:
            log.warning("metrics.json goes without fold %s: %s", fold, str(error).splitlines()[0].rstrip(":"))
            continue
        found[fold] = FoldMetrics(num_cases=len(summary.cases), mean=summary.mean, classes=summary.classes)
    return Metrics(folds=found)
