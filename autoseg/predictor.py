"""Trained nets as a function from image to masks.

from autoseg import Predictor
p = Predictor.load("results/HandBone")  # or "handbone.zip", which `autoseg export` writes
masks = p(image)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from autoseg.bundle.onnx_folder import is_current, is_onnx_folder, load_onnx, onnx_folder, write_onnx
from autoseg.bundle.onnx_net import OnnxNet
from autoseg.bundle.read import load_bundle
from autoseg.case import Case, Dataset, LoadedCase
from autoseg.errors import UsageError
from autoseg.evaluate.calibration import read_calibration
from autoseg.geometry import Geometry
from autoseg.infer.cascade import prepare_stages, segment_stages
from autoseg.infer.case import Model
from autoseg.infer.confidence import Calibration
from autoseg.infer.devices import parse_devices
from autoseg.infer.files import Job, Outcome, Progress, predict_cases
from autoseg.infer.folds import Choice, choose_folds, find_run
from autoseg.infer.load import Loaded, Origin, load_model
from autoseg.infer.record import RunRecord
from autoseg.infer.segmentation import Segmentation
from autoseg.labels import Mask
from autoseg.plan import Plan
from autoseg.select.selection import Selected, load_selection
from autoseg.select.team import Team
from autoseg.workspace import SELECTION

Engine = Literal["torch", "onnx"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictor:
    """The nets of a run, ready on a device. Made by `load`.

    Parameters
    ----------
    plan : Plan
    stage : str
        The configuration that was trained.
    model : Model
    source : Choice or Origin
        The run's folder and its folds; of a bundle what it says of them.
    team : Team or None
        All members of a selection with its rules, which then predict; plan, stage and model are the first one's.
    """

    plan: Plan
    stage: str
    model: Model
    source: Choice | Origin
    team: Team | None = None

    @classmethod
    def load(
        cls,
        path: str | Path,
        folds: Sequence[str] | None = None,
        *,
        device: str | torch.device | None = None,
        tta: bool = True,
        step: float = 0.5,
        engine: Engine | None = None,
        selection: bool = True,
    ) -> Predictor:
        """Load trained nets.

        Parameters
        ----------
        path : str or Path
            results/NAME, if one run of it is trained or `autoseg select` chose among several; results/NAME/PLAN/CONFIG-TRAINER; a file
            that `autoseg export` wrote, or the folder of `autoseg export --onnx`. Workspace and data set are not needed.
        folds : sequence of str, optional
            Such as ("0", "3"); all finished folds if not given.
        device : str or torch.device, optional
            Such as "cuda:1"; the first GPU if there is one, else the CPU.
        tta : bool
            Average over the flips that the plan allows.
        step : float
            Largest distance of neighbouring tiles as a share of the patch, in (0, 1].
        engine : {"torch", "onnx"}, optional
            "onnx" computes with onnxruntime in fp32; a run's nets are exported into its folder first if they are not there. By default what
            the path holds.
        selection : bool
            Of results/NAME take what `autoseg select` chose, if it did, and if no folds are named.

        Raises
        ------
        UsageError
            If no fold is finished, a wanted one is not, the path holds several runs, or nothing for this engine; of a cascade, if the nets
            of the stage before are not there as they were.
        FileFormatError
            If a checkpoint or a bundle is damaged, or was not made by autoseg.
        DeviceError
            If the device is not there.
        """
        path = Path(path)
        if selection and folds is None and (path / SELECTION).is_file() and not is_onnx_folder(path):
            selected = Selected(results=path, selection=load_selection(path / SELECTION))
            return cls.from_selection(selected, device=device, tta=tta, step=step, engine=engine)
        if not path.is_file() and not is_onnx_folder(path):
            choice = choose_folds(find_run(path), folds, ensemble=folds is None)
            return cls.from_choice(choice, device=device, tta=tta, step=step, engine=engine)
        holds: Engine = "torch" if path.is_file() else "onnx"
        if engine not in (None, holds):
            command = "autoseg export --onnx" if engine == "onnx" else "autoseg export"
            raise UsageError(f"{path} holds nets for {holds}, not for {engine}; `{command}` writes those.")
        if holds == "onnx":
            bundle = load_onnx(path, _one_device(device), folds=folds, tta=tta, step=step)
        else:
            bundle = load_bundle(path, _one_device(device), folds=folds, tta=tta, step=step)
        made = cls._made(bundle.members[0], bundle.origin)
        return made if bundle.selection is None else replace(made, team=Team(selection=bundle.selection, members=bundle.members))

    @classmethod
    def from_choice(
        cls, choice: Choice, *, device: str | torch.device | None = None, tta: bool = True, step: float = 0.5, engine: Engine | None = None
    ) -> Predictor:
        """`load` for folds that were chosen already."""
        where = _one_device(device)
        if engine == "onnx":
            folder = onnx_folder(choice)
            if not is_current(folder, choice):
                write_onnx(folder, choice)
            bundle = load_onnx(folder, where, folds=tuple(choice.folds), tta=tta, step=step)
            return cls._made(bundle.members[0], bundle.origin)
        return cls._made(load_model(list(choice.folds.values()), where, tta=tta, step=step), choice)

    @classmethod
    def from_selection(
        cls,
        selected: Selected,
        *,
        device: str | torch.device | None = None,
        tta: bool = True,
        step: float = 0.5,
        engine: Engine | None = None,
    ) -> Predictor:
        """The members that `autoseg select` chose, with its thresholds and post-processing.

        Raises
        ------
        UsageError
            Besides what `load` raises: if a net is not there, or is not the one that was judged.
        """
        where = _one_device(device)
        members = [cls.from_choice(choice, device=where, tta=tta, step=step, engine=engine) for choice in selected.choices()]
        if not selected.selection.changes_masks:
            return members[0]
        loaded = tuple(Loaded(plan=member.plan, stage=member.stage, model=member.model) for member in members)
        return replace(members[0], source=selected.origin(), team=Team(selection=selected.selection, members=loaded))

    @classmethod
    def _made(cls, loaded: Loaded, source: Choice | Origin) -> Predictor:
        return cls(plan=loaded.plan, stage=loaded.stage, model=loaded.model, source=source)

    @property
    def origin(self) -> Origin:
        """Where the nets come from; of a run's folder its checkpoints are read for their checksums."""
        return self.source if isinstance(self.source, Origin) else Origin.of(self.source)

    def __call__(self, image: NDArray[Any], spacing: Sequence[float] | None = None) -> dict[str, Mask] | NDArray[Any]:
        """Segment one image; `predict_files` and the command `predict` read files.

        Parameters
        ----------
        image : array of real numbers, (C, (z,) y, x), or ((z,) y, x) if the plan has one channel
            As in the training files: not normalised. Volumes are taken as they lie: from feet to head, front to back and right to left,
            as `predict` turns files by their headers.
        spacing : sequence of float, optional
            In mm, (z,) y, x; needed where the plan resamples. Without it pixels are taken as they are.

        Returns
        -------
        dict of class -> array of bool, or array of unsigned integers
            Masks if classes overlap; the map of the classes' values, 0 for the background, if they are exclusive. On the image's grid.

        Raises
        ------
        ValueError
            If the image has other axes or channels, holds NaN or infinities, or `spacing` other axes.
        """
        segmentation = self.segment(image, spacing)
        return segmentation.map() if self.plan.labels.exclusive else dict(segmentation.masks())

    def segment(self, image: NDArray[Any], spacing: Sequence[float] | None = None, *, probabilities: bool = False) -> Segmentation:
        """`__call__` with all that is known of the result; with `probabilities` as bytes if wanted."""
        image = self._channels(np.asarray(image))
        geometry = Geometry.pixels(image.shape[1:])
        if spacing is not None:
            geometry = replace(geometry, spacing=tuple(float(s) for s in spacing), unit="mm")
        elif self.plan.unit == "mm" and (grids := self._resampled_grids()):
            # Without a spacing nothing is known to resample from: the image is taken to be at the plan's, of several at the finest of them.
            # Pixels are 1 apart.
            geometry = replace(geometry, spacing=min(grids, key=math.prod))
        loaded = LoadedCase(case=Case(name="image", images=()), image=image, geometry=geometry, labels=None)
        if self.team is not None:
            return self.team.segment(self.team.prepare(loaded), probabilities=probabilities)
        return segment_stages(self.model, prepare_stages(self.model, loaded, self.plan, self.stage), probabilities=probabilities)

    def _resampled_grids(self) -> list[tuple[float, ...]]:
        """The spacings of what predicts, if it, or a stage before it, resamples."""
        members = [(self.plan, self.stage, self.model)]
        if self.team is not None:
            members = [(member.plan, member.stage, member.model) for member in self.team.members]
        return [plan.stages[stage].spacing for plan, stage, model in members if _resamples(plan, stage, model)]

    def predict_files(
        self,
        cases: Sequence[Case],
        out: Path,
        *,
        dataset: Dataset | None = None,
        overwrite: bool = False,
        formats: Sequence[str] | None = None,
        part: tuple[int, int] | None = None,
        processes: int = 0,
        progress: Progress | None = None,
    ) -> Outcome:
        """Predict files into a folder.

        Parameters
        ----------
        cases : sequence of Case
        out : Path
            Gets the formats' files, predict.json, which says how they were made, and where there is a `calibration` confidence.csv with the
            Dice to expect.
        dataset : Dataset, optional
            Where the cases come from; its spacing and submission hold for them.
        overwrite : bool
            Predict cases again that an equal run finished.
        formats : sequence of str, optional
            Names in `infer.formats.FORMATS`. If not given: masks where classes overlap, else a map, and submission.csv if the data set has
            one.
        part : (int, int), optional
            Only this part of the cases, from 1, of how many; parts may run at the same time into one folder.
        processes : int
            Up to so many other processes write coco, polygons, rle and overlay where that is measured to pay: for GPUs with many processor
            cores. A script that asks for it needs `if __name__ == "__main__":` before its own work, as each process reads it again.
        progress : callable(done, total), optional

        Returns
        -------
        Outcome
            What was done, skipped, and what failed and why: a failing case stops no other one.

        Raises
        ------
        UsageError
            If `cases` is empty, or a format cannot hold the plan's predictions.
        """
        if not cases:
            raise UsageError("there is nothing to predict: no image was found")
        source = dataset or Dataset(name=self.plan.dataset, root=Path(), layout="", classes=self.plan.labels.classes)
        calibration = self.calibration
        job = Job(
            model=replace(self.model, weighs=calibration is not None), plan=self.plan, stage=self.stage, dataset=source, out=out,
            record=self.record(), overwrite=overwrite, formats=None if formats is None else tuple(formats), part=part, team=self.team,
            calibration=calibration, processes=processes,
        )  # fmt: skip
        return predict_cases(job, cases, progress)

    @property
    def calibration(self) -> Calibration | None:
        """Of the expected Dice; None if there is none.

        A run's lies in its folder (`evaluate.calibration.make_calibration` makes it), that of what `autoseg select` chose in its
        selection.json, and a bundle holds either. It was made with the plan's flips, and holds without them about as well
        (benchmarks/README.md).
        """
        if self.team is not None:
            return self.team.selection.calibration
        return self.source.calibration if isinstance(self.source, Origin) else read_calibration(self.source.run)

    def record(self) -> RunRecord:
        """How predictions with these nets are made; what is finished is not in it."""
        origin, window = self.origin, self.model.window
        return RunRecord(
            dataset=self.plan.dataset,
            plan=self.plan.name,
            stage=self.stage,
            run=origin.run,
            folds=origin.folds,
            ensemble=origin.note,
            step=window.step,
            mirror_axes=window.mirror_axes,
            precision=window.precision,
            mirror_axes_before=() if self.model.previous is None else self.model.previous.model.window.mirror_axes,
            engine="onnx" if isinstance(self.model.nets[0], OnnxNet) else "torch",
            selection="" if self.team is None else self.team.selection.checksum(),
        )

    def _channels(self, image: NDArray[Any]) -> NDArray[Any]:
        if image.dtype.kind not in "buif":
            raise ValueError(f"image must be an array of real numbers, got {image.dtype}; for files there is predict_files")
        channels, axes = len(self.plan.normalization), self.plan.num_axes
        with_channels = image[None] if image.ndim == axes and channels == 1 else image
        if with_channels.ndim != axes + 1 or len(with_channels) != channels:
            names = "(z,) y, x"[0 if axes == 3 else 5 :]
            raise ValueError(f"image must have {channels} channels and {axes} axes, ({channels}, {names}), got the shape {image.shape}")
        if not np.isfinite(with_channels).all():
            raise ValueError(f"image must hold finite numbers, got {image.dtype} with NaN or infinities")
        return with_channels


def _resamples(plan: Plan, stage: str, model: Model) -> bool:
    """True if a stage, or one before it, does."""
    while not plan.stages[stage].resample:
        if model.previous is None:
            return False
        plan, stage, model = model.previous.plan, model.previous.stage, model.previous.model
    return True


def _one_device(text: str | torch.device | None) -> torch.device:
    if isinstance(text, torch.device):
        return text
    devices = parse_devices(text)
    if len(devices) > 1:
        raise UsageError(f"--device {text}: a prediction runs on one device; name one of them")
    return devices[0]
