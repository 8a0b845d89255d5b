"""Trainers: Plan + prepared cases -> checkpoints."""

from __future__ import annotations

from autoseg.io.interrupt import Interrupted
from autoseg.trainers.device_queue import DeviceQueue
from autoseg.trainers.job import FoldCases, Job, Report
from autoseg.trainers.launch import train_folds
from autoseg.trainers.options import TRAINERS, TrainOptions
from autoseg.trainers.previous import PreviousStage, prepare_previous_stage
from autoseg.trainers.siblings import check_siblings

__all__ = [
    "TRAINERS",
    "DeviceQueue",
    "FoldCases",
    "Interrupted",
    "Job",
    "PreviousStage",
    "Report",
    "TrainOptions",
    "check_siblings",
    "prepare_previous_stage",
    "train_folds",
]
