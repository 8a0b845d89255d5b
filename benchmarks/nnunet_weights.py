"""nnU-Net's weights in our U-Net: the names of one in the other."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from autoseg.nets import UNet

#: nnU-Net's PlainConvUNet (dynamic_network_architectures): stages of convolutions, each under more than one name.
ENCODER = re.compile(r"encoder\.stages\.(\d+)\.0\.convs\.(\d+)\.(conv|norm)\.(weight|bias)")
DECODER = re.compile(r"decoder\.stages\.(\d+)\.convs\.(\d+)\.(conv|norm)\.(weight|bias)")
UP = re.compile(r"decoder\.transpconvs\.(\d+)\.(weight|bias)")
HEAD = re.compile(r"decoder\.seg_layers\.(\d+)\.(weight|bias)")
#: Second names of the same tensors.
ALIAS = re.compile(r"decoder\.encoder\.|.*\.all_modules\.\d+\.")


def our_name(theirs: str, first_head: int) -> str | None:
    """The name of a weight of nnU-Net's in our net; None for second names and for heads coarser than `first_head`.

    Parameters
    ----------
    theirs : str
        Of PlainConvUNet's state dict.
    first_head : int
        Heads of nnU-Net's that we do not have: the coarsest, whose loss weighs nothing.

    Raises
    ------
    ValueError
        If the name is none of a PlainConvUNet.
    """
    if ALIAS.match(theirs):
        return None
    if found := ENCODER.fullmatch(theirs):
        return "encoder.{}.{}.{}.{}".format(*found.groups())
    if found := DECODER.fullmatch(theirs):
        return "decoder.{}.{}.{}.{}".format(*found.groups())
    if found := UP.fullmatch(theirs):
        return "ups.{}.{}".format(*found.groups())
    if found := HEAD.fullmatch(theirs):
        head = int(found[1]) - first_head
        return None if head < 0 else f"heads.{head}.{found[2]}"
    raise ValueError(f"{theirs!r} is no weight of a PlainConvUNet: expected names like 'encoder.stages.0.0.convs.0.conv.weight'.")


def load_nnunet(net: UNet, weights: Mapping[str, Tensor]) -> None:
    """Give our net the weights of nnU-Net's; torch's own error tells what is missing or of another shape."""
    first_head = len(net.decoder) - len(net.heads)
    named = {our_name(theirs, first_head): value for theirs, value in weights.items()}
    net.load_state_dict({ours: value for ours, value in named.items() if ours is not None})
