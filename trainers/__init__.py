"""Trainers: Plan + prepared cases -> checkpoints."""

from __future__ import annotations

from autoseg.trainers.interrupt import Interrupted
from autoseg.trainers.launch import FoldCases, Job, Report, train_folds
from autoseg.trainers.options import TRAINERS, TrainOptions

__all__ = ["TRAINERS", "FoldCases", "Interrupted", "Job", "Report", "TrainOptions", "train_folds"]
