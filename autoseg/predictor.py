"""Trained nets as a function from image to masks.

from autoseg import Predictor
p = Predictor.load("results/HandBone")
masks = p(image)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from autoseg.case import Case, Dataset, LoadedCase
from autoseg.errors import UsageError
from autoseg.geometry import Geometry
from autoseg.infer.cascade import prepare_stages, segment_stages
from autoseg.infer.case import Model, Segmentation
from autoseg.infer.devices import parse_devices
from autoseg.infer.files import Job, Outcome, Progress, predict_cases
from autoseg.infer.folds import Choice, choose_folds, find_run
from autoseg.infer.load import load_model
from autoseg.infer.record import RunRecord, checksums
from autoseg.labels import Mask
from autoseg.plan import Plan


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictor:
    """The nets of a run, ready on a device. Made by `load`.

    Parameters
    ----------
    plan : Plan
    stage : str
        The configuration that was trained.
    model : Model
    choice : Choice
        The run and its folds.
    """

    plan: Plan
    stage: str
    model: Model
    choice: Choice

    @classmethod
    def load(
        cls,
        path: str | Path,
        folds: Sequence[str] | None = None,
        *,
        device: str | torch.device | None = None,
        tta: bool = True,
        step: float = 0.5,
    ) -> Predictor:
        """Load a run's nets.

        Parameters
        ----------
        path : str or Path
            results/NAME, if one run of it is trained, or results/NAME/PLAN/CONFIG-TRAINER.
        folds : sequence of str, optional
            Such as ("0", "3"); all finished folds if not given.
        device : str or torch.device, optional
            Such as "cuda:1"; the first GPU if there is one, else the CPU.
        tta : bool
            Average over the flips that the plan allows.
        step : float
            Largest distance of neighbouring tiles as a share of the patch, in (0, 1].

        Raises
        ------
        UsageError
            If no fold is finished, a wanted one is not, or the path holds several runs; of a cascade, if the nets of the stage before are
            not there as they were.
        FileFormatError
            If a checkpoint is damaged.
        DeviceError
            If the device is not there.
        """
        choice = choose_folds(find_run(Path(path)), folds, ensemble=folds is None)
        return cls.from_choice(choice, device=device, tta=tta, step=step)

    @classmethod
    def from_choice(cls, choice: Choice, *, device: str | torch.device | None = None, tta: bool = True, step: float = 0.5) -> Predictor:
        """`load` for folds that were chosen already."""
        where = device if isinstance(device, torch.device) else _one_device(device)
        loaded = load_model(list(choice.folds.values()), where, tta=tta, step=step)
        return cls(plan=loaded.plan, stage=loaded.stage, model=loaded.model, choice=choice)

    def __call__(self, image: NDArray[Any], spacing: Sequence[float] | None = None) -> dict[str, Mask] | NDArray[Any]:
        """Segment one image.

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
        return segmentation.array if self.plan.labels.exclusive else dict(segmentation.masks())

    def segment(self, image: NDArray[Any], spacing: Sequence[float] | None = None, *, probabilities: bool = False) -> Segmentation:
        """`__call__` with all that is known of the result; with `probabilities` as bytes if wanted."""
        image = self._channels(np.asarray(image))
        geometry = Geometry.pixels(image.shape[1:])
        if spacing is not None:
            geometry = replace(geometry, spacing=tuple(float(s) for s in spacing), unit="mm")
        elif self.plan.unit == "mm" and self._resamples():
            # Without a spacing nothing is known to resample from: the image is taken to be at the plan's. Pixels are 1 apart.
            geometry = replace(geometry, spacing=self.plan.stages[self.stage].spacing)
        loaded = LoadedCase(case=Case(name="image", images=()), image=image, geometry=geometry, labels=None)
        return segment_stages(self.model, prepare_stages(self.model, loaded, self.plan, self.stage), probabilities=probabilities)

    def _resamples(self) -> bool:
        """True if a stage does."""
        plan, stage, model = self.plan, self.stage, self.model
        while not plan.stages[stage].resample:
            if model.previous is None:
                return False
            plan, stage, model = model.previous.plan, model.previous.stage, model.previous.model
        return True

    def predict_files(
        self,
        cases: Sequence[Case],
        out: Path,
        *,
        dataset: Dataset | None = None,
        overwrite: bool = False,
        formats: Sequence[str] | None = None,
        part: tuple[int, int] | None = None,
        progress: Progress | None = None,
    ) -> Outcome:
        """Predict files into a folder.

        Parameters
        ----------
        cases : sequence of Case
        out : Path
            Gets the formats' files, and predict.json, which says how they were made.
        dataset : Dataset, optional
            Where the cases come from; its spacing and submission hold for them.
        overwrite : bool
            Predict cases again that an equal run finished.
        formats : sequence of str, optional
            Names in `infer.formats.FORMATS`. If not given: masks where classes overlap, else a map, and submission.csv if the data set has
            one.
        part : (int, int), optional
            Only this part of the cases, from 1, of how many; parts may run at the same time into one folder.
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
        job = Job(
            model=self.model, plan=self.plan, stage=self.stage, dataset=source, out=out, record=self._record(), overwrite=overwrite,
            formats=None if formats is None else tuple(formats), part=part,
        )  # fmt: skip
        return predict_cases(job, cases, progress)

    def _record(self) -> RunRecord:
        run, window = self.choice.run, self.model.window
        return RunRecord(
            dataset=self.plan.dataset,
            plan=self.plan.name,
            stage=self.stage,
            run=f"{run.parent.name}/{run.name}",
            folds=checksums(self.choice.folds),
            ensemble=self.choice.note,
            step=window.step,
            mirror_axes=window.mirror_axes,
            precision=window.precision,
            mirror_axes_before=() if self.model.previous is None else self.model.previous.model.window.mirror_axes,
        )

    def _channels(self, image: NDArray[Any]) -> NDArray[Any]:
        channels, axes = len(self.plan.normalization), self.plan.num_axes
        with_channels = image[None] if image.ndim == axes and channels == 1 else image
        if with_channels.ndim != axes + 1 or len(with_channels) != channels:
            names = "(z,) y, x"[0 if axes == 3 else 5 :]
            raise ValueError(f"image must have {channels} channels and {axes} axes, ({channels}, {names}), got the shape {image.shape}")
        if image.dtype.kind not in "buif" or not np.isfinite(with_channels).all():
            raise ValueError(f"image must hold finite real numbers, got {image.dtype} with NaN, infinities or no numbers")
        return with_channels


def _one_device(text: str | None) -> torch.device:
    devices = parse_devices(text)
    if len(devices) > 1:
        raise UsageError(f"--device {text}: a prediction runs on one device; name one of them")
    return devices[0]
