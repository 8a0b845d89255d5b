"""Wrong options: one message, exit code 2, nothing already made is touched."""

from pathlib import Path

import pytest

from tests.badinput.bad import check_refused
from tests.cli.conftest import Autoseg

#: What is typed behind `autoseg`, and what is said.
OPTIONS = [
    ("plan_and_preprocess --gpu nonsense", "--gpu nonsense is not known. Known are v100-32gb"),
    ("plan_and_preprocess --gpu cpu --configs nonsense", "--configs nonsense is not a configuration; there are 2d"),
    ("plan_and_preprocess --hours -1", "--hours must be positive, got -1"),
    ("plan_and_preprocess --hours nan", "--hours must be a finite number, got nan"),
    ("plan_and_preprocess --gpu-memory nan", "--gpu-memory must be a finite number, got nan"),
    ("plan_and_preprocess --gpu-memory -1", "--gpu-memory must be positive, got -1"),
    ("plan_and_preprocess --plan ../x", "--plan ../x: a plan's name becomes a file name"),
    ("plan_and_preprocess --plan predictions", "--plan predictions"),
    ("train 2d fold0 --plan a/b", "--plan a/b"),
    ("plan_and_preprocess -d Nothing", "-d Nothing: no such data set in"),
    ("train 2d fold0 --trainer nonsense", "--trainer nonsense is not known; there are default, sgd, adamw"),
    ("train 2d fold0 --loss dice", "--loss dice is not known; there are dice_ce, dice_bce, dice_focal"),
    ("train 2d fold0 --optimizer nadam", "--optimizer nadam is not known; there are sgd, adam, adamw, lion, rmsprop"),
    ("train 2d fold0 --schedule linear", "--schedule linear is not known; there are poly, cosine, step, constant, plateau"),
    ("train 2d fold0 --warmup 1", "--warmup is a share of the training, in [0, 1), got 1"),
    ("train 2d fold2 --loss dice_ce", "--loss dice_ce: the classes of plan default overlap; the same loss for them is --loss dice_bce"),
    ("train 2d nonsense", "nonsense names no folds; say fold0..4"),
    ("train 2d fold7", "there is no fold7: the data set is split into 5 folds, fold0..4"),
    ("train 2d fold4..0", "fold4..0 names no folds"),
    ("train 3d_fullres fold0", "3d_fullres is no configuration of plan default; it has 2d"),
    ("train 2d fold0 --hours inf", "--hours must be a finite number, got inf"),
    ("train 2d fold0 --lr nan", "--lr must be a finite number, got nan"),
    ("train 2d fold0 --lr 0", "--lr must be positive, got 0"),
    ("train 2d fold0 --seed -1", "-1 is not in the range x>=0"),
    ("train 2d fold0 --batch 0", "--batch must be at least 1, got 0"),
    ("train 2d fold2 --batch 1000000", "--batch 1000000 needs about"),
    ("train 2d fold0 --epochs 0", "--epochs must be at least 1, got 0"),
    ("train 2d fold0 --device tpu", "--device tpu is not understood; it is cpu, cuda, cuda:1"),
    ("predict", "holds 2 finished folds: 0, 1. Say --ensemble for all of them, or --folds fold0"),
    ("predict --step 2", "--step must lie above 0 and up to 1, got 2"),
    ("predict --step nan", "--step must lie above 0 and up to 1, got nan"),
    ("predict --folds fold2", "--folds: not finished in"),
    ("predict --folds fold7", "there is no fold7"),
    ("predict --folds ,", "names no folds"),
    ("predict --ensemble --device tpu", "--device tpu is not understood"),
    ("predict --ensemble --config 3d", "holds no run with --config 3d; trained are default/2d-default"),
    ("predict --ensemble -i nowhere.png", "-i nowhere.png: there is no such file or folder"),
    ("predict --ensemble --format masks,gif", "--format masks,gif: gif is not known; there are masks, map, rle, polygons, coco"),
    ("predict --ensemble --format ,", "--format ,: an empty name is not known"),
    ("predict --ensemble --format map", "--format map: the plan's classes overlap, and a map holds one class a pixel"),
    ("predict --ensemble --part 6/5", "--part 6/5: say which of how many, 2/5 for instance"),
    ("predict --ensemble --part 0/5", "--part 0/5: say which"),
    ("predict --ensemble --part 2", "--part 2: say which"),
]


@pytest.mark.parametrize(("arguments", "said"), OPTIONS)
def test_wrong_options(autoseg: Autoseg, trained: Path, arguments: str, said: str) -> None:
    check_refused(autoseg, trained, tuple(arguments.split()), said)


def test_options_of_the_recipe_are_differences(autoseg: Autoseg, trained: Path) -> None:
    arguments = ("train", "2d", "fold0", "--loss", "focal", "--optimizer", "lion", "--schedule", "step", "--warmup", 0.1)
    said = (
        "--loss: the plan's -> focal",
        "--optimizer: the plan's -> lion",
        "--schedule: the plan's -> step",
        "--warmup: the plan's -> 0.1",
    )
    check_refused(autoseg, trained, arguments, "fold0 holds a run with other settings", *said)


def test_other_options_are_listed_as_they_are_typed(autoseg: Autoseg, trained: Path) -> None:
    arguments = ("train", "2d", "fold0", "--epochs", 3, "--lr", 0.25, "--iterations-per-epoch", 1)
    check_refused(
        autoseg, trained, arguments, "fold0 holds a run with other settings", "--epochs: 1 -> 3", "--lr: the plan's -> 0.25", "--restart"
    )


def test_an_empty_name_is_not_the_current_folder(autoseg: Autoseg, trained: Path) -> None:
    check_refused(autoseg, trained, ("train", "2d", "0", "-d", ""), "-d is empty", "HandBone")
