"""A synthetic stand-in for the private HandBone data set: X-rays of hands computed from 3D bones, in the competition's own files."""

from __future__ import annotations

from autoseg.demo.phantom import PhantomFiles, write_phantom
from autoseg.demo.shapes import BONES

__all__ = ["BONES", "PhantomFiles", "write_phantom"]
