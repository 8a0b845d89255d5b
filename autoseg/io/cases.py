"""One case in memory."""

from __future__ import annotations

from dataclasses import replace

from autoseg.case import Case, Dataset, LoadedCase
from autoseg.errors import DataError
from autoseg.geometry import Geometry
from autoseg.io.images import ChannelFacts, read_image, to_channels
from autoseg.io.orientation import Orientation
from autoseg.io.truth import read_truth


def read_case(dataset: Dataset, case: Case, num_channels: int | None = None, *, by_region: bool = False) -> LoadedCase:
    """A case's image, and its labels if it has any.

    Parameters
    ----------
    dataset : Dataset
    case : Case
    num_channels : int, optional
        The data set's number of channels (`common_num_channels`); None: as the files hold them.
    by_region : bool
        As in `read_image`.

    Raises
    ------
    DataError
        Naming each file that cannot be used: image and labels are both looked at before it is raised.
    """
    return measure_case(dataset, case, num_channels, by_region=by_region)[0]


def measure_case(
    dataset: Dataset, case: Case, num_channels: int | None = None, *, by_region: bool = False
) -> tuple[LoadedCase, ChannelFacts]:
    """`read_case`, and what `common_num_channels` needs of the image as its files hold it."""
    problems: list[str] = []
    image = read_image(case.images, by_region=by_region)
    array, labels, geometry = image.array, None, image.geometry
    try:
        if num_channels is not None:
            array = to_channels(image, num_channels)
    except DataError as error:
        problems += error.problems
    try:
        if case.truth is not None:
            labels = read_truth(dataset, case, image.geometry)
    except DataError as error:
        problems += error.problems
    try:
        geometry = with_spacing(image.geometry, dataset.spacing, image.orientation)
    except ValueError as error:
        problems.append(f"{case.images[0]}: {error}")
    if problems:
        raise DataError(problems)
    return LoadedCase(case=case, image=array, geometry=geometry, labels=labels), image.facts


def with_spacing(geometry: Geometry, spacing: tuple[float, ...] | None, orientation: Orientation | None = None) -> Geometry:
    """The grid with the spacing that dataset.json gives, in mm, (z,) y, x of the file; unchanged if it gives none.

    `orientation` says how the grid was turned when it was read.

    Raises
    ------
    ValueError
        If the spacing has another number of axes.
    """
    if spacing is None:
        return geometry
    if len(spacing) != geometry.num_axes:
        raise ValueError(f"has {geometry.num_axes} axes, and dataset.json gives a spacing of {len(spacing)}: {list(spacing)}")
    return replace(geometry, spacing=orientation.order(spacing) if orientation is not None else spacing, unit="mm")
