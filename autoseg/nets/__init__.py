"""Networks, found by name: NETS maps a name to a builder Network -> torch module."""

from __future__ import annotations

from collections.abc import Callable

from autoseg.nets.unet import UNet, build_unet
from autoseg.plan import Network

#: A builder gets the plan's Network and gives a module; another package adds its own by an entry.
NETS: dict[str, Callable[[Network], UNet]] = {"unet": build_unet}

__all__ = ["NETS", "UNet", "build_unet"]
