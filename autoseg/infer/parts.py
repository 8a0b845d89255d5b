"""How many tiles are computed at a time: a whole batch, until memory runs out."""

from __future__ import annotations

import gc
import logging
import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from autoseg.step import is_out_of_memory

logger = logging.getLogger(__name__)


class Parts:
    """Computes batches of tiles, from the first that runs out of memory on in parts that do not.

    Attributes
    ----------
    most : int or None
        Tiles in a part at most; None: memory has not run out yet.
    peak_bytes : int
        Most memory of a GPU that was taken before the last part.
    """

    def __init__(self) -> None:
        self.most: int | None = None
        self.peak_bytes = 0

    def compute(self, compute: Callable[[slice], Tensor], num: int, device: torch.device) -> Iterator[Tensor]:
        """The results of `num` tiles one by one, each part of them computed when its first one is asked for.

        Parameters
        ----------
        compute : callable
            Gives the results (N, ...) of some tiles; it may be called again for fewer of the same.
        num : int
        device : torch.device
            The nets'.

        Raises
        ------
        RuntimeError
            torch's own, if memory runs out with a single tile.
        """
        start = 0
        while start < num:
            size = min(num - start, self.most or num)
            results = self._attempt(compute, slice(start, start + size), device)
            if results is None:
                # Only now, after the exception and all that its frames held are gone.
                self._halve(size, device)
                continue
            yield from results
            del results
            start += size

    def _attempt(self, compute: Callable[[slice], Tensor], part: slice, device: torch.device) -> Tensor | None:
        """The results of a part; None if memory ran out and the part can be split."""
        if device.type == "cuda":
            # `blend.rows_device` leaves room for what this takes, and not for what training took before.
            self.peak_bytes = max(self.peak_bytes, torch.cuda.max_memory_allocated(device))
            torch.cuda.reset_peak_memory_stats(device)
        try:
            return compute(part)
        except RuntimeError as error:
            if part.stop - part.start == 1 or not is_out_of_memory(error):
                raise
        return None

    def _halve(self, size: int, device: torch.device) -> None:
        if self.most is None:
            # Said once, whatever it takes to find the size.
            logger.warning("memory ran out with %d tiles at a time: fewer are computed at a time from here on, with the same result", size)
        self.most = math.ceil(size / 2)
        # An exception and the frames that it went through may hold each other.
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
