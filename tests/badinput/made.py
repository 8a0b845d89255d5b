"""Trained workspaces with one thing wrong: plans, folds, prepared cases, nets, places."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from autoseg.checkpoint import FORMAT
from tests.badinput.bad import ENSEMBLE, PLAN, PLANNING, RUN, SPLITS, TRAIN, TRAIN_0, TRAIN_2, BadFiles, edit, plan_with, stage

NET = RUN / "fold0/checkpoint_last.safetensors"
RUN_FILE = RUN / "fold0/run.json"
FIELDS = "stages.2d.recipe"


def edited(what: str, change: Callable[[dict[str, Any]], object], said: str) -> BadFiles:
    """The plan edited, then used for training."""
    return BadFiles(what=what, harm=plan_with(change), said=said, command=TRAIN_2, file=str(PLAN))


PLANS: list[BadFiles] = [
    edited("unknown key", lambda d: d.update(bogus=1), "bogus: unknown key"),
    edited("key missing", lambda d: d.pop("labels"), "labels: is missing"),
    edited("no configuration", lambda d: d.update(stages={}), "stages: must hold at least one configuration"),
    edited("of another data set", lambda d: d.update(dataset="Other"), "is the plan of the data set Other, not of HandBone"),
    edited("patch that the net cannot pool", stage(patch=[50, 48]), "patch (50, 48) must be a multiple of"),
    edited("patch in words", stage(patch=["x", 48]), "stages.2d.patch.0: must be a valid integer"),
    edited("batch of 0", stage(batch=0), "batch, iterations and iterations_per_epoch must be at least 1"),
    edited(
        "unknown loss", stage(recipe__loss="dce"), "stages.2d: recipe.loss must be one of dice_ce, dice_bce, dice_focal, focal, tversky"
    ),
    edited("loss of exclusive classes", stage(recipe__loss="dice_ce"), "recipe.loss must not be 'dice_ce': the classes overlap"),
    edited(
        "weight of a mistyped class", stage(recipe__class_weights={"Radius ": 2}),
        "stages.2d: recipe.class_weights must name classes of the plan, got 'Radius '",
    ),
    edited(
        "weight of no class", stage(recipe__loss_weights={"thumb": 2}),
        "recipe.loss_weights must name classes of the plan, got 'thumb'",
    ),
    edited("weight of 0", stage(recipe__case_weights={"ID001": 0}), f"{FIELDS}: case_weights must be positive, got 0.0 for ID001"),
    edited("negative learning rate", stage(recipe__lr=-1), "lr must be positive, got -1.0"),
    edited("too few priors", stage(priors=[0.1]), "stages.2d: priors must hold 29 numbers, one for each class, got 1"),
    edited("too few heads", stage(network__num_heads=7), "stages.2d: network.num_heads must be 29, one for each class, got 7"),
    edited("too many channels", stage(network__in_channels=3), "network.in_channels must be 1, one for each normalization, got 3"),
    edited("spacing of one axis", stage(spacing=[1.0]), "stages.2d: spacing must hold 2 numbers, one for each axis of the data, got 1"),
    edited("stage of another name", stage(name="3d"), "stages.2d: name must be '2d' like its key, got '3d'"),
    edited("newer version", lambda d: d.update(version=99, new_key=1), "is of version 99, newer than this autoseg"),
    BadFiles(
        what="weight of no case", harm=plan_with(stage(recipe__case_weights={"nobody": 2})), command=TRAIN_2,
        said="2d.recipe.case_weights of plan default names nobody, which is no case of",
    ),
    BadFiles(what="not there", harm=lambda w: (w / PLAN).unlink(), command=TRAIN_2, said="HandBone has no plan default"),
    BadFiles(what="cut short", harm=lambda w: (w / PLAN).write_text('{"a": '), command=TRAIN_2, file=str(PLAN), said="is not valid JSON"),
]  # fmt: skip


def mutual(content: dict[str, Any]) -> None:
    content["folds"][2]["val"].append(content["folds"][2]["train"][0])


def prepared_case(workspace: Path) -> Path:
    """The first prepared case's folder."""
    return sorted((workspace / "preprocessed/HandBone/cases").glob("*/*"))[0]


def forget_raw_case(workspace: Path) -> None:
    for file in (workspace / "raw/HandBone/train").rglob(f"{prepared_case(workspace).name}.*"):
        file.unlink()


def unprepare(workspace: Path) -> None:
    for case in (workspace / "preprocessed/HandBone/cases").glob("*/*"):
        (case / "case.json").unlink()


PREPARED: list[BadFiles] = [
    BadFiles(what="splits.json cut short", harm=lambda w: (w / SPLITS).write_text("{"), command=TRAIN_2, file=str(SPLITS), said="JSON"),
    BadFiles(
        what="splits.json with a case on both sides", harm=lambda w: edit(w / SPLITS, mutual), command=TRAIN_2, file=str(SPLITS),
        said="folds.2: cases stand in train and val of one fold",
    ),
    BadFiles(
        what="splits.json that names nobody", harm=lambda w: edit(w / SPLITS, lambda d: d["folds"][2]["train"].append("nobody")),
        command=PLANNING, said="its folds name cases that HandBone does not hold: nobody. Mend it, or delete it",
    ),
    BadFiles(
        what="a raw case gone since", harm=forget_raw_case, command=(*TRAIN, "all"), said="is no longer in",
    ),
    BadFiles(
        what="prepared cases gone", harm=unprepare, command=TRAIN_0,
        said="9 other cases are not prepared. Run plan_and_preprocess again",
    ),
]  # fmt: skip


def rewritten(**metadata: str | None) -> Callable[[Path], None]:
    """fold0's net with other metadata and the checksum that fits it."""

    def harm(workspace: Path) -> None:
        with safe_open(workspace / NET, framework="pt") as file:
            known = {**file.metadata(), **metadata}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - safe_open is no mapping
        from autoseg import checkpoint

        given = {key: value for key, value in known.items() if value is not None and key != "checksum"}
        given["checksum"] = checkpoint._checksum(tensors, given)
        save_file(tensors, workspace / NET, given)

    return harm


def other_data_set(workspace: Path) -> None:
    """fold0's net says that it was trained on other classes, with everything in it consistent."""
    with safe_open(workspace / NET, framework="pt") as file:
        plan = json.loads(file.metadata()["plan"])
    plan["dataset"], plan["labels"]["classes"][0] = "Other", "thumb"
    rewritten(plan=json.dumps(plan))(workspace)


class Opened:
    """What a pickle does when it is opened."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("opened"),)


def pickled(workspace: Path) -> None:
    (workspace / NET).write_bytes(pickle.dumps(Opened()))


def torch_file(workspace: Path) -> None:
    torch.save({"weights": torch.zeros(3)}, workspace / NET)


def other_program(workspace: Path) -> None:
    save_file({"weight": torch.zeros(3)}, workspace / NET)


DAMAGED = f"{NET.name} is damaged"


def net(what: str, harm: Callable[[Path], object], said: str, command: tuple[object, ...] = ENSEMBLE) -> BadFiles:
    """fold0's net harmed."""
    return BadFiles(what=what, harm=harm, said=said, command=command, file=str(NET))


NETS: list[BadFiles] = [
    net("cut short", lambda w: (w / NET).write_bytes((w / NET).read_bytes()[:1000]), DAMAGED),
    net("0 bytes", lambda w: (w / NET).write_bytes(b""), DAMAGED),
    net("text", lambda w: (w / NET).write_text("hello " * 99), DAMAGED),
    net("a header of 2^62 bytes", lambda w: (w / NET).write_bytes((2**62).to_bytes(8, "little") + b"{}"), DAMAGED),
    net("a pickle under its name (not opened)", pickled, DAMAGED),
    net("torch.save's file under its name", torch_file, DAMAGED),
    net("another program's safetensors", other_program, "is no checkpoint of this version of autoseg (no format mark)"),
    net("of a later version", rewritten(format=f"{FORMAT}0"), f"is no checkpoint of this version of autoseg ({FORMAT}0)"),
    net("without its plan", rewritten(plan=None), "is damaged"),
    net("with a plan of nonsense", rewritten(plan='{"name": 1}'), "is damaged"),
    net("with progress that is no JSON", rewritten(progress="{"), "is damaged"),
    net("of a stage that its plan lacks", rewritten(stage="3d"), "is damaged"),
    BadFiles(
        what="of another data set beside this one's", harm=other_data_set, command=ENSEMBLE, file=str(RUN / "fold1" / NET.name),
        said="was trained with another plan than the folds before it",
    ),
    BadFiles(
        what="a run's record cut short", harm=lambda w: (w / RUN_FILE).write_text("{"), command=TRAIN_0, file=str(RUN_FILE),
        said="is damaged or was edited wrongly",
    ),
]  # fmt: skip


def second_data_set(workspace: Path) -> None:
    (workspace / "raw/Second").mkdir()
    (workspace / "preprocessed/last_planned.txt").unlink()


def no_raw(workspace: Path) -> None:
    (workspace / "raw").rename(workspace / "elsewhere")
    (workspace / "preprocessed/last_planned.txt").unlink()


def results_are_a_file(workspace: Path) -> None:
    (workspace / "results").rename(workspace / "results elsewhere")
    (workspace / "results").write_text("")


def nothing(workspace: Path) -> None:
    """As it is."""


MAY_WRITE = "Check that it may be read and written, or use another folder"
WORKSPACES: list[BadFiles] = [
    BadFiles(
        what="two data sets, none named", harm=second_data_set, command=TRAIN_2,
        said="holds several data sets: HandBone, Second. Name one",
    ),
    BadFiles(what="no data set", harm=no_raw, command=TRAIN_2, said="raw holds no data set. Put one there, or name a folder: -d PATH"),
    BadFiles(what="results is a file", harm=results_are_a_file, command=TRAIN_2, file="results", said=MAY_WRITE),
    BadFiles(what="output that cannot be written", harm=nothing, command=(*ENSEMBLE, "-o", "/proc/none/x"), said=MAY_WRITE),
    BadFiles(what="output below a file", harm=nothing, command=(*ENSEMBLE, "-o", "/dev/null/x"), said=MAY_WRITE),
    BadFiles(
        what="nothing trained", harm=lambda w: (w / "results").rename(w / "kept"), command=ENSEMBLE,
        said="Train first: autoseg train",
    ),
    BadFiles(
        what="input that does not exist", harm=nothing, command=(*ENSEMBLE, "-i", "nowhere.png"),
        said="there is no such file or folder",
    ),
    BadFiles(what="input that is no image", harm=nothing, command=(*ENSEMBLE, "-i", "/etc/passwd"), said="is of no known image format"),
]  # fmt: skip
