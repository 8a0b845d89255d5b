"""How much of an image a patch must show: what the measured look-alikes ask for, and what a patch gives."""

from __future__ import annotations

from dataclasses import dataclass

from autoseg.fingerprint import Fingerprint
from autoseg.plan import Stage

#: With tiles half a patch apart, every pixel lies within a quarter of a patch of some tile's middle. That tile shows a quarter of a patch
#: on the pixel's near side, so that a window of size w around every pixel takes a patch of 2 w.
PATCH_PER_WINDOW = 2.0


@dataclass(frozen=True, kw_only=True)
class View:
    """What a data set asks of a patch.

    Parameters
    ----------
    share : float
        Of the image's edge that a patch must show, in [0, 1]; 0 if any patch will do.
    measured : bool
        False: too little is known, and the whole image is wished for, but no cascade is built for it.
    reason : str
    """

    share: float
    measured: bool
    reason: str


def needed_view(fingerprint: Fingerprint) -> View:
    """The patch that it takes to tell look-alikes apart, from the fingerprint's context."""
    context = fingerprint.context
    if context is None:
        return View(share=1.0, measured=False, reason="how much must be seen could not be measured: the whole image, where it fits")
    if not context.num_look_alikes:
        return View(share=0.0, measured=True, reason="no class has look-alikes that only surroundings tell apart: any patch will do")
    if not context.needed_share:
        words = f"what tells {context.num_look_alikes} look-alikes apart could not be measured: the whole image, where it fits"
        return View(share=1.0, measured=False, reason=words)
    share = min(1.0, PATCH_PER_WINDOW * context.needed_share)
    words = (
        f"{context.num_look_alikes} of {len(context.classes)} classes have look-alikes, told apart by what lies within a window of "
        f"{context.needed_share:.0%} of the image's edge; a patch of {share:.0%} shows that around every pixel"
    )
    return View(share=share, measured=True, reason=words)


def shown(stage: Stage) -> float:
    """The share of the image's edge that a patch shows, on the axis where it shows least; at most 1."""
    sizes = [size for axis, size in enumerate(stage.image_shape) if axis != stage.slice_axis]
    return min(min(1.0, edge / size) for edge, size in zip(stage.patch, sizes, strict=True))


def shows_enough(stage: Stage, view: View) -> bool:
    """True if a patch of the stage shows what the data set asks for."""
    return shown(stage) >= view.share
