"""The folder a user works in: raw/, preprocessed/, results/. Every path of the product is made here."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from autoseg.errors import UsageError

LAST_PLANNED = "last_planned.txt"
SALT = ".salt"
#: The folder beside the plans' folders in results/NAME; no plan may have this name.
PREDICTIONS = "predictions"
SELECTION = "selection.json"
#: Files in a fold's folder. The checkpoint is the end of the schedule: the best epoch's is picked by the same images that judge it, and is
#: no better on others (nnU-Net's rule). The summary is written last, after the fold's validation: a fold with it is finished.
CHECKPOINT, SUMMARY = "checkpoint_last.safetensors", "summary.json"
RUN_RECORD, TIME_SPENT, METRICS, LOCK = "run.json", "time.json", "metrics.jsonl", ".lock"
#: Folders: of a fold, the predictions of its validation cases and in it their probabilities; of results/NAME, the report's pictures.
VALIDATION, PROBABILITIES, PICTURES = "validation", "probabilities", ".report"
#: Folders of preprocessed/NAME: prepared cases, and what of them the stage before of a cascade has predicted.
CASES, PREVIOUS = "cases", "previous"


def fold_of(folder: Path) -> str:
    """The fold of a folder: "0" of fold0, "all" of fold_all."""
    return folder.name.removeprefix("fold").removeprefix("_")


def fold_folders(run: Path) -> list[Path]:
    """The folds of results/NAME/PLAN/CONFIG-TRAINER, begun or finished. A copy that somebody keeps beside them (fold0_old) is no fold."""
    return sorted(path for path in run.glob("fold*") if re.fullmatch(r"fold\d+|fold_all", path.name) and path.is_dir())


def run_folders(results: Path) -> list[Path]:
    """The runs in results/NAME, PLAN/CONFIG-TRAINER each, that hold folds."""
    return [run for run in sorted(results.glob("*/*-*")) if fold_folders(run)]


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """Where everything lies.

    Parameters
    ----------
    root : Path
        Holds raw/NAME, preprocessed/NAME, results/NAME. Created on first write, not here.
    """

    root: Path

    @property
    def option(self) -> str:
        """What a command that is shown to people needs at its end to find this folder: " -w DIR", nothing if it is the current one."""
        return "" if self.root == Path() else f" -w {shlex.quote(str(self.root))}"

    def options(self, folder: Path) -> str:
        """What a command that is shown to people needs at its end to mean the data set in this folder: " -d NAME", and `option`."""
        is_known = (self.raw / folder.name).exists() or not folder.exists()
        return f" -d {shlex.quote(folder.name if is_known else str(folder))}{self.option}"

    def fewest_options(self, folder: Path) -> str:
        """`options`, without -d where a command means this data set by itself."""
        try:
            meant, _ = self.resolve(None)
        except UsageError:
            return self.options(folder)
        return self.option if meant.resolve() == folder.resolve() else self.options(folder)

    @property
    def raw(self) -> Path:
        """Raw data sets, read where they lie and never written to."""
        return self.root / "raw"

    @property
    def salt_file(self) -> Path:
        """The salt of patients' names, see `io.pseudonyms`; beside the folders, so that whoever passes one of them on keeps it."""
        return self.root / SALT

    def preprocessed(self, dataset: str) -> Path:
        """Fingerprint, splits, plans and prepared cases of one data set: all of it can be made again."""
        return self.root / "preprocessed" / dataset

    def fingerprint_file(self, dataset: str) -> Path:
        """preprocessed/NAME/fingerprint.json"""
        return self.preprocessed(dataset) / "fingerprint.json"

    def splits_file(self, dataset: str) -> Path:
        """preprocessed/NAME/splits.json"""
        return self.preprocessed(dataset) / "splits.json"

    def plan_file(self, dataset: str, plan: str) -> Path:
        """preprocessed/NAME/plans/PLAN.json"""
        return self.preprocessed(dataset) / "plans" / f"{plan}.json"

    def plan_files(self, dataset: str) -> list[Path]:
        """The data set's plans; those that are written right now have a name with a dot in front and are none yet."""
        return sorted((self.preprocessed(dataset) / "plans").glob("[!.]*.json"))

    def earlier_plan_file(self, dataset: str, plan: str) -> Path:
        """preprocessed/NAME/plan_PLAN_earlier.json: what was replaced; where there is one, plan_PLAN_earlier_2.json and so on."""
        return self.preprocessed(dataset) / f"plan_{plan}_earlier.json"

    def earlier_plan_files(self, dataset: str, plan: str) -> list[Path]:
        """The files that a plan's replacements have left, the last one first."""
        numbered = re.compile(re.escape(self.earlier_plan_file(dataset, plan).stem) + r"(_\d+)?")
        found = [file for file in self.preprocessed(dataset).glob("plan_*.json") if numbered.fullmatch(file.stem)]
        return sorted(found, key=lambda file: file.stat().st_mtime, reverse=True)

    def store_folder(self, dataset: str, key: str) -> Path:
        """preprocessed/NAME/cases/KEY: prepared cases; plans that prepare alike share a key and the cases."""
        return self.preprocessed(dataset) / CASES / key

    def previous_folder(self, dataset: str, key: str) -> Path:
        """preprocessed/NAME/previous/KEY: input channels of a cascade that the nets of its stage before made."""
        return self.preprocessed(dataset) / PREVIOUS / key

    def results(self, dataset: str) -> Path:
        """results/NAME"""
        return self.root / "results" / dataset

    def run_folder(self, dataset: str, plan: str, config: str, trainer: str) -> Path:
        """results/NAME/PLAN/CONFIG-TRAINER, which holds fold0 .. fold4."""
        return self.results(dataset) / plan / f"{config}-{trainer}"

    def fold_folder(self, dataset: str, plan: str, config: str, trainer: str, fold: str) -> Path:
        """results/NAME/PLAN/CONFIG-TRAINER/foldK (or fold_all)."""
        return self.run_folder(dataset, plan, config, trainer) / (f"fold{fold}" if fold.isdigit() else f"fold_{fold}")

    def selection_file(self, dataset: str) -> Path:
        """results/NAME/selection.json: the members, weights, thresholds and post-processing that `select` chose."""
        return self.results(dataset) / SELECTION

    def report_file(self, dataset: str) -> Path:
        """results/NAME/report.html"""
        return self.results(dataset) / "report.html"

    def predictions(self, dataset: str) -> Path:
        """results/NAME/predictions, which holds a folder per run of predict."""
        return self.results(dataset) / PREDICTIONS

    def raw_names(self) -> tuple[str, ...]:
        """Names of the folders in raw/."""
        if not self.raw.is_dir():
            return ()
        return tuple(sorted(p.name for p in self.raw.iterdir() if p.is_dir() and not p.name.startswith(".")))

    def resolve(self, given: str | None) -> tuple[Path, str]:
        """The folder of the data set that a command means, and a sentence that says which and why.

        Parameters
        ----------
        given : str or None
            -d as typed: a name in raw/, a path, or None: the only data set, else the one planned last.

        Raises
        ------
        UsageError
            If nothing or more than one data set fits; the message lists what there is.
        """
        names = self.raw_names()
        if given is not None and not given.strip():
            raise UsageError(f"-d is empty; give the name of a data set{f' ({chr(44).join(names)})' if names else ''} or a folder.")
        if given is not None:
            return self._named(given, names)
        if len(names) == 1:
            return self.raw / names[0], f"data set {names[0]} (the only one in {self.raw})"
        record = self.root / "preprocessed" / LAST_PLANNED
        if record.is_file():
            folder = Path(record.read_text(encoding="utf-8").strip())
            if folder.is_dir():
                # As -d NAME gives it, where it lies in raw/.
                named = next((self.raw / name for name in names if (self.raw / name).resolve() == folder.resolve()), folder)
                return named, f"data set {named.name} (planned last)"
        self._refuse_missing()
        if not names:
            raise UsageError(f"{self.raw} holds no data set. Put one there, or name a folder: -d PATH.")
        raise UsageError(f"{self.raw} holds several data sets: {', '.join(names)}. Name one: -d {names[0]}.")

    def _named(self, given: str, names: tuple[str, ...]) -> tuple[Path, str]:
        if given in names:
            return self.raw / given, f"data set {given}"
        path = Path(given).expanduser()
        if path.is_dir():
            path = path.resolve()
            if path.name in names and (self.raw / path.name).resolve() != path:
                raise UsageError(
                    f"-d {given}: the name {path.name} is taken by {self.raw / path.name}, which is another folder; rename one of them."
                )
            return path, f"data set {path.name} ({path})"
        self._refuse_missing()
        known = f"known are {', '.join(names)}" if names else f"{self.raw} holds none"
        raise UsageError(f"-d {given}: no such data set in {self.raw} and no such folder; {known}.")

    def _refuse_missing(self) -> None:
        if not self.root.is_dir():
            raise UsageError(f"the workspace {self.root} does not exist: name a folder that holds raw/ with -w, or make it.")

    def remember(self, folder: Path) -> None:
        """Record which data set was planned last."""
        record = self.root / "preprocessed" / LAST_PLANNED
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(f"{folder.resolve()}\n", encoding="utf-8")
