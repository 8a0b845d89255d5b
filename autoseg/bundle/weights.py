"""A net's weights as bytes, and back; what is read must be exactly the tensors of the plan's net."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from autoseg.errors import FileFormatError
from autoseg.nets import build_net
from autoseg.plan import Network

#: A header takes about 100 bytes a tensor; nets have some hundreds.
MAX_HEADER_BYTES = 2**20

Shapes = dict[str, tuple[int, ...]]


def encode_weights(weights: Mapping[str, Tensor]) -> bytes:
    """Safetensors without metadata: the same weights give the same bytes."""
    return safetensors.torch.save({name: value.detach().to("cpu", torch.float32).contiguous() for name, value in weights.items()})


def net_shapes(network: Network) -> Shapes:
    """Name and shape of every tensor of a net, without memory for any of them."""
    with torch.device("meta"):
        return {name: tuple(value.shape) for name, value in build_net(network).state_dict().items()}


def num_bytes(shapes: Shapes) -> int:
    """Bytes of these tensors in fp32."""
    return 4 * sum(math.prod(shape) for shape in shapes.values())


def check_size(size: int, shapes: Shapes, source: str) -> None:
    """FileFormatError unless a file of `size` bytes can hold these tensors and little else: asked before either is given memory."""
    wanted = num_bytes(shapes)
    if not wanted + 8 <= size <= wanted + 8 + MAX_HEADER_BYTES:
        raise FileFormatError(f"{source} has {size} bytes and does not fit its plan, whose net has {wanted}")


def decode_weights(data: bytes, shapes: Shapes, source: str) -> dict[str, Tensor]:
    """The tensors in `data`.

    Raises
    ------
    FileFormatError
        If they are not fp32 tensors of exactly these names and shapes, or hold NaN or infinities.
    """
    check_size(len(data), shapes, source)
    length = int.from_bytes(data[:8], "little")
    if length > min(MAX_HEADER_BYTES, len(data) - 8):
        raise FileFormatError(f"{source} is damaged: its header is said to have {length} bytes")
    try:
        header = json.loads(data[8 : 8 + length])
        found = {name: (entry["dtype"], tuple(entry["shape"])) for name, entry in header.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise FileFormatError(f"{source} is damaged: its header is no list of tensors") from None
    wanted = {name: ("F32", shape) for name, shape in shapes.items()}
    if wrong := sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name)):
        name = wrong[0]
        raise FileFormatError(f"{source} does not fit its plan: {name[:80]!r} is {found.get(name)}, expected {wanted.get(name)}")
    try:
        weights = safetensors.torch.load(data)
    except (SafetensorError, ValueError, RuntimeError) as error:
        raise FileFormatError(f"{source} is damaged: {error}") from None
    if broken := [name for name, value in weights.items() if not value.isfinite().all()]:
        raise FileFormatError(f"{source}: {broken[0]} holds NaN or infinities; this net was not trained to an end")
    return weights
