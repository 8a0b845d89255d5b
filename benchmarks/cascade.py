"""A cascade where context beyond the patch decides the class (benchmarks/far_marks.py): each stage alone, both, and the second one blind.

    python -m benchmarks.cascade DIR --seeds 3 --core 0        # run what is missing, then the table

DIR is a workspace. Each seed draws a data set of its own; autoseg's commands plan it for a device on which full resolution leaves a patch
of 24 voxels (--gpu-memory 1.2), train 3d_lowres in five folds, then fold 0 of 3d_cascade_fullres and of 3d_fullres, all with the same
nets, batches and iterations. What is set by hand, so that it takes minutes on a processor: iterations, batch, the nets' widths, and a lower
resolution than planned, in whole images. Test images are segmented by fold 0, "blind" with the channels of the stage before at zero.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoseg import Predictor
from autoseg.case import LoadedCase
from autoseg.evaluate import CaseScores, Summary, evaluate_case, load_summary, save_summary, summarise
from autoseg.infer.cascade import prepare_stages, segment_stages
from autoseg.infer.case import segment
from autoseg.infer.segmentation import Segmentation
from autoseg.io.cases import read_case
from autoseg.io.layouts import read_dataset
from autoseg.workspace import Workspace
from benchmarks.far_marks import CLASSES, write_dataset
from benchmarks.side_by_side import Bench, settings

GPU_MEMORY = "1.2"
FULL, LOW, CASCADE = "3d_fullres", "3d_lowres", "3d_cascade_fullres"
#: What is compared, and the configuration that predicts.
ARMS = {FULL: FULL, LOW: LOW, CASCADE: CASCADE, "blind": CASCADE}


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large the experiment is.

    Parameters
    ----------
    train, test : int
        Cases.
    iterations, batch : int
    features : tuple of int
        Of each net's stages.
    """

    train: int = 20
    test: int = 20
    iterations: int = 500
    batch: int = 4
    features: tuple[int, ...] = (16, 32, 64)


def main() -> None:
    """Train what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=Size.iterations)
    parser.add_argument("--core", type=int, nargs="*", default=())
    given = parser.parse_args()
    bench, size = Bench(place=Workspace(root=given.folder.resolve())), Size(iterations=given.iterations)
    for seed in range(given.seeds):
        run(bench, seed, size, tuple(given.core))
        print(table([scores(bench.place, done) for done in range(seed + 1)]), flush=True)


def run(bench: Bench, seed: int, size: Size, cores: tuple[int, ...] = ()) -> None:
    """Data, plan, trainings and test scores of one seed; finished folds are skipped by the commands themselves."""
    name = dataset_name(seed)
    if not (bench.place.raw / name).is_dir():
        write_dataset(bench.place.raw / name, train=size.train, test=size.test, seed=seed)
    bench.autoseg(name, "plan", "plan_and_preprocess", "--gpu-memory", GPU_MEMORY, *options(size), cores=cores)
    for config, folds in ((LOW, "fold0..4"), (CASCADE, "fold0"), (FULL, "fold0")):
        bench.autoseg(name, config, "train", config, folds, "--device", "cpu", "--seed", str(seed), cores=cores)
    for arm in ARMS:
        save_summary(scores_file(bench.place, seed, arm), score(bench.place, name, arm))


def dataset_name(seed: int) -> str:
    """Of a seed."""
    return f"FarMarks{seed}"


def options(size: Size) -> list[str]:
    """Of plan_and_preprocess."""
    common = {"network.features": size.features, "batch": size.batch, "iterations": size.iterations}
    coarse = {"spacing": (2.5, 2.5, 2.5), "patch": (40, 16, 16)}
    chosen = [*settings(FULL, **common), *settings(LOW, **common, **coarse), *settings(CASCADE, **common)]
    return ["--configs", f"{FULL},{CASCADE}", *chosen]


def scores_file(place: Workspace, seed: int, arm: str) -> Path:
    """Scores of the test images."""
    return place.root / "scores" / dataset_name(seed) / f"{arm}.json"


def scores(place: Workspace, seed: int) -> dict[str, Summary]:
    """What `run` has saved of a seed."""
    return {arm: load_summary(scores_file(place, seed, arm)) for arm in ARMS}


def score(place: Workspace, name: str, arm: str) -> Summary:
    """Segment the test images with fold 0 of an arm's configuration and compare them with their labels."""
    predictor = Predictor.load(place.results(name) / "default" / f"{ARMS[arm]}-default", ["0"], device="cpu")
    return summarise(list(_score_cases(place, name, predictor, blind=arm == "blind")), CLASSES)


def _score_cases(place: Workspace, name: str, predictor: Predictor, *, blind: bool) -> Iterator[CaseScores]:
    raw = read_dataset(place.raw / name)
    for case in raw.test:
        loaded = read_case(raw, case)
        assert loaded.labels is not None, "test cases were written with their labels"
        masks = (mask for _, mask in predict(predictor, loaded, blind=blind).masks())
        yield evaluate_case(case.name, masks, loaded.labels)


def predict(predictor: Predictor, loaded: LoadedCase, *, blind: bool) -> Segmentation:
    """A case as a configuration segments it; blind: with all that the stage before says set to zero."""
    prepared = prepare_stages(predictor.model, loaded, predictor.plan, predictor.stage)
    if not blind:
        return segment_stages(predictor.model, prepared)
    last = prepared[-1]
    nothing = np.zeros((predictor.plan.labels.num_classes, *last.meta.shape), np.uint8)
    return segment(predictor.model, last.image, last.meta, previous=nothing)


def table(seeds: Sequence[Mapping[str, Summary]]) -> str:
    """Test Dice of each arm: the mean over seeds, each seed's, each class's; and what the cascade gains over full resolution alone."""
    lines = [f"{'':20} mean  each seed            {'  '.join(CLASSES)}  (test Dice, {len(seeds)} seeds)"]
    means = {arm: [summary_mean(found[arm]) for found in seeds] for arm in ARMS}
    for arm, values in means.items():
        classes = [statistics.mean(found[arm].classes[name]["dice"] or 0.0 for found in seeds) for name in CLASSES]
        numbers = ", ".join(f"{value:.3f}" for value in values)
        lines.append(f"{arm:20} {statistics.mean(values):.3f} {numbers:20} {'  '.join(f'{value:.3f}' for value in classes)}")
    for arm in (CASCADE, "blind"):
        gains = [100 * (mine - full) for mine, full in zip(means[arm], means[FULL], strict=True)]
        lines.append(f"{arm} - {FULL}: {statistics.median(gains):+.1f} points in the median, {min(gains):+.1f} at least")
    return "\n".join(lines)


def summary_mean(summary: Summary) -> float:
    """Mean Dice over the classes."""
    value = summary.mean["dice"]
    assert value is not None, "the classes are there in each case"
    return value


if __name__ == "__main__":
    main()
