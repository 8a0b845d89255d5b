"""Networks, found by name: NETS maps a kind to a builder Network -> UNet."""

from __future__ import annotations

from collections.abc import Callable

from autoseg.extensions import find
from autoseg.nets.unet import UNet, build_unet
from autoseg.plan import Network

#: A builder gets the plan's Network and gives a UNet: one of other modules, or a subclass. Other packages add theirs under the entry-point
#: group autoseg.nets.
NETS: dict[str, Callable[[Network], UNet]] = {"unet": build_unet}


def build_net(network: Network) -> UNet:
    """The net that a plan describes, with fresh weights.

    Raises
    ------
    UsageError
        If its kind is not known here.
    """
    return find("nets", network.kind, NETS)(network)


__all__ = ["NETS", "UNet", "build_net", "build_unet"]
