"""A fold's own exam: its validation images through the real sliding window, scored against the truth on the original grid."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from autoseg.case import Case, Dataset
from autoseg.evaluate import TABLE, CaseScores, Summary, evaluate_case, measure_case, save_summary, summarise, summarise_fully, write_rows
from autoseg.infer.case import Model, segment
from autoseg.infer.export import write_case_probabilities, write_segmentation
from autoseg.infer.nets import plan_window
from autoseg.infer.parts import Parts
from autoseg.infer.segmentation import Segmentation
from autoseg.io.truth import read_truth
from autoseg.metrics.measure import Rules
from autoseg.nets import UNet
from autoseg.plan import Plan
from autoseg.preprocess.store import PreparedStore
from autoseg.trainers.examined import Examined
from autoseg.workspace import PROBABILITIES, VALIDATION, fold_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Exam:
    """What a fold is validated on.

    Parameters
    ----------
    dataset : Dataset
        Where the truth is read from.
    plan : Plan
        With the stage as trained.
    stage : str
    store : PreparedStore
        In a cascade opened with the previous stage's channels.
    cases : tuple of Case
    device : torch.device
    parts : Parts
        How many tiles there is memory for at a time.
    """

    dataset: Dataset
    plan: Plan
    stage: str
    store: PreparedStore
    cases: tuple[Case, ...]
    device: torch.device
    parts: Parts = field(default_factory=Parts)

    def model(self, net: UNet, *, tta: bool) -> Model:
        """The net behind the window that prediction uses."""
        return Model(
            labels=self.plan.labels, nets=(net,), window=plan_window(self.plan, self.stage, self.device, tta=tta), parts=self.parts
        )


def predict_stored(exam: Exam, model: Model, case: Case, *, probabilities: bool = False) -> Segmentation:
    """One prepared case on its original grid; in a cascade behind the stored channels, made by a net that did not train on the case."""
    stored = exam.store.open(case.name)
    previous = None if stored.previous is None else stored.previous[:]
    return segment(model, stored.image[:], stored.meta, previous=previous, probabilities=probabilities)


def score(exam: Exam, case: Case, segmentation: Segmentation) -> CaseScores:
    """The overlap with the raw truth."""
    truth = read_truth(exam.dataset, case, segmentation.geometry)
    return evaluate_case(case.name, (mask for _, mask in segmentation.masks()), truth)


def measure(exam: Exam, case: Case, segmentation: Segmentation) -> CaseScores:
    """All scores against the raw truth, as `autoseg evaluate` measures them."""
    truth = read_truth(exam.dataset, case, segmentation.geometry)
    return measure_case(case, (mask for _, mask in segmentation.masks()), truth, segmentation.geometry, Rules())


def validate(
    exam: Exam, net: UNet, folder: Path, progress: Callable[[int, int], None], examined: Examined | None = None
) -> tuple[Summary, int]:
    """Predict, write and score every validation case; the scores, and the bytes that the stored probabilities take.

    Writes FOLDER/validation/ with masks and probabilities (of which ensembles and thresholds are chosen later), FOLDER/metrics.csv, and
    last FOLDER/summary.json: a fold with a summary is finished. Cases that `examined` knows are left as they are.
    """
    scores: list[CaseScores] = []
    size = 0
    with evaluating(net), ThreadPoolExecutor(1) as writer:
        model = exam.model(net, tta=True)
        writing: list[Future[tuple[CaseScores, int]]] = []
        for done, case in enumerate(exam.cases):
            if examined is not None and (known := examined.get(case, exam.dataset.root)) is not None:
                while writing:
                    scores, size = _collect(writing.pop(), scores, size)
                scores, size = [*scores, known[0]], size + known[1]
                continue
            segmentation = predict_stored(exam, model, case, probabilities=True)
            # One case is written while the next is predicted, no more: masks of 29 classes at 2048 x 2048 are 120 MB.
            while writing:
                scores, size = _collect(writing.pop(), scores, size)
            writing.append(writer.submit(write_case, exam, folder / VALIDATION, case, segmentation, examined))
            progress(done + 1, len(exam.cases))
        while writing:
            scores, size = _collect(writing.pop(), scores, size)
    write_rows(folder / TABLE, [replace(score, fold=fold_of(folder)) for score in scores], exam.plan.labels.classes)
    summary = summarise_fully(scores, exam.plan.labels.classes, Rules())
    save_summary(folder / "summary.json", summary)
    if examined is not None:
        examined.clear()
    logger.info("%d cases validated; their probabilities take %.1f MB", len(scores), size / 1e6)
    return summary, size


def _collect(future: Future[tuple[CaseScores, int]], scores: list[CaseScores], size: int) -> tuple[list[CaseScores], int]:
    score_of_case, written = future.result()
    return [*scores, score_of_case], size + written


def write_case(
    exam: Exam, folder: Path, case: Case, segmentation: Segmentation, examined: Examined | None = None
) -> tuple[CaseScores, int]:
    """Write a case's masks and probabilities into a folder; its scores, and the bytes of the probabilities."""
    write_segmentation(folder, case, segmentation)
    size = write_case_probabilities(folder / PROBABILITIES, case, segmentation)
    scores = measure(exam, case, segmentation)
    if examined is not None:
        examined.add(case, exam.dataset.root, scores, size)
    return scores, size


def quick_dice(exam: Exam, net: UNet, cases: Sequence[Case]) -> float | None:
    """Mean Dice over classes of a few whole images, without test-time augmentation: the curve beside the loss."""
    with evaluating(net):
        model = exam.model(net, tta=False)
        scores = [score(exam, case, predict_stored(exam, model, case)) for case in cases]
    return summarise(scores, exam.plan.labels.classes).mean["dice"]


@contextmanager
def evaluating(net: UNet) -> Iterator[None]:
    """Put a net in eval mode while the block runs."""
    net.eval()
    try:
        yield
    finally:
        net.train()
