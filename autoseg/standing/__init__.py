"""Where a data set's work stands: what is done, what runs, what failed, what it takes on the disk, and what to type next."""

from autoseg.standing.dataset import Standing, look
from autoseg.standing.disk import CHEAP, Removable, folder_bytes, removables
from autoseg.standing.next_step import next_step

__all__ = ["CHEAP", "Removable", "Standing", "folder_bytes", "look", "next_step", "removables"]
