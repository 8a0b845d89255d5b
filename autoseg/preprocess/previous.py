"""From the probabilities of a cascade's stage before to input channels of the next stage: one rule, in training and in prediction."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from autoseg.io.probabilities import NOISE
from autoseg.io.scratch import let_go, roomy_zeros
from autoseg.preprocess.prepared import PreparedMeta
from autoseg.preprocess.resample import linear, resample

Bytes = NDArray[np.uint8]


def prepare_previous(probabilities: Bytes, meta: PreparedMeta) -> Bytes:
    """Probabilities on a case's original grid as channels on its prepared one: cut, resampled linearly, axes in order.

    Parameters
    ----------
    probabilities : array of uint8, (K, (z,) y, x)
        255 p, as `io.probabilities` reads them; the background is left out.
    meta : PreparedMeta
        Of the case in the stage that gets the channels.

    Returns
    -------
    array of uint8, (K, *meta.shape)
        Bytes that a stored file would not hold (`NOISE`) are 0, so that a new image's channels are what training saw.

    Raises
    ------
    ValueError
        If the shape is not the case's.
    """
    if probabilities.shape[1:] != meta.geometry.shape:
        raise ValueError(f"probabilities of {meta.name} must have the shape {meta.geometry.shape}, got {probabilities.shape[1:]}")
    window = tuple(slice(start, stop) for start, stop in meta.box)
    out = roomy_zeros((len(probabilities), *meta.shape), np.uint8)
    for k, plane in enumerate(probabilities):
        inside = plane[window]
        inside = np.where(inside > NOISE, inside, np.uint8(0))
        if meta.resampled_shape != meta.box_shape:
            inside = np.rint(resample(inside, meta.resampled_shape, kernels=linear(inside.ndim))).astype(np.uint8)
        out[k] = inside.transpose(meta.axes)
        for array in (probabilities, out):
            let_go(array)
    return out
