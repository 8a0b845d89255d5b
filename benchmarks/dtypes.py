"""What torch.autocast returns, function by function, beside what the table of `autoseg.memory.casts` says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

from autoseg.memory import CudaCasts


class Make(Protocol):
    """Makes a tensor of a shape: of the dtype in question, or an fp32 weight."""

    def __call__(self, *shape: int, weight: bool = False) -> Tensor:
        """On the device in question, filled with ones."""
        ...


def mixed(make: Make) -> list[Tensor]:
    """One tensor of the dtype in question and one in fp32."""
    return [make(4, 4), make(4, 4, weight=True)]


#: Functions of the nets and losses, of what other nets use, and one at least of every kind of cast.
EXAMPLES: dict[str, Callable[[Make], Tensor]] = {
    "conv2d": lambda make: F.conv2d(make(1, 8, 8, 8), make(8, 8, 3, 3, weight=True)),
    "conv3d": lambda make: F.conv3d(make(1, 8, 8, 8, 8), make(8, 8, 3, 3, 3, weight=True)),
    "conv_transpose2d": lambda make: F.conv_transpose2d(make(1, 8, 4, 4), make(8, 8, 2, 2, weight=True), stride=2),
    "conv_transpose3d": lambda make: F.conv_transpose3d(make(1, 8, 4, 4, 4), make(8, 8, 2, 2, 2, weight=True), stride=2),
    "linear": lambda make: F.linear(make(4, 8), make(8, 8, weight=True)),
    "matmul": lambda make: make(8, 8) @ make(8, 8, weight=True),
    "bmm": lambda make: torch.bmm(make(2, 8, 8), make(2, 8, 8)),
    "einsum": lambda make: torch.einsum("ij,jk->ik", make(8, 8), make(8, 8)),
    "scaled_dot_product_attention": lambda make: F.scaled_dot_product_attention(make(1, 2, 8, 16), make(1, 2, 8, 16), make(1, 2, 8, 16)),
    "prelu": lambda make: F.prelu(make(1, 4, 4, 4), make(4, weight=True)),
    "instance_norm": lambda make: F.instance_norm(make(2, 4, 8, 8), weight=make(4, weight=True), bias=make(4, weight=True)),
    "batch_norm": lambda make: F.batch_norm(make(2, 4, 8, 8), None, None, make(4, weight=True), make(4, weight=True), training=True),
    "group_norm": lambda make: F.group_norm(make(2, 4, 8, 8), 2, make(4, weight=True), make(4, weight=True)),
    "layer_norm": lambda make: F.layer_norm(make(2, 4, 8), (8,), make(8, weight=True), make(8, weight=True)),
    "leaky_relu": lambda make: F.leaky_relu(make(4, 4)),
    "leaky_relu, in place": lambda make: F.leaky_relu(make(4, 4), inplace=True),
    "gelu": lambda make: F.gelu(make(4, 4)),
    "silu": lambda make: F.silu(make(4, 4)),
    "sigmoid": lambda make: torch.sigmoid(make(4, 4)),
    "softmax": lambda make: F.softmax(make(4, 4), dim=1),
    "log_softmax": lambda make: F.log_softmax(make(4, 4), dim=1),
    "softplus": lambda make: F.softplus(make(4, 4)),
    "exp": lambda make: make(4, 4).exp(),
    "log": lambda make: make(4, 4).log(),
    "pow": lambda make: make(4, 4) ** 2,
    "rsqrt": lambda make: make(4, 4).rsqrt(),
    "sqrt": lambda make: make(4, 4).sqrt(),
    "sum": lambda make: make(4, 4).sum(),
    "mean": lambda make: make(4, 4).mean(),
    "std": lambda make: make(4, 4).std(),
    "cumsum": lambda make: make(4, 4).cumsum(0),
    "norm": lambda make: make(4, 4).norm(),
    "vector_norm": lambda make: torch.linalg.vector_norm(make(4, 4)),
    "add, mixed": lambda make: torch.add(*mixed(make)),
    "mul, mixed": lambda make: torch.mul(*mixed(make)),
    "cat, mixed": lambda make: torch.cat(mixed(make)),
    "stack, mixed": lambda make: torch.stack(mixed(make)),
    "atan2, mixed": lambda make: torch.atan2(*mixed(make)),
    "avg_pool2d": lambda make: F.avg_pool2d(make(1, 4, 8, 8), 2),
    "max_pool2d": lambda make: F.max_pool2d(make(1, 4, 8, 8), 2),
    "adaptive_avg_pool2d": lambda make: F.adaptive_avg_pool2d(make(1, 4, 8, 8), 1),
    "interpolate, nearest": lambda make: F.interpolate(make(1, 4, 8, 8), scale_factor=2, mode="nearest"),
    "interpolate, nearest-exact": lambda make: F.interpolate(make(1, 4, 8, 8), scale_factor=2, mode="nearest-exact"),
    "interpolate, bilinear": lambda make: F.interpolate(make(1, 4, 8, 8), scale_factor=2, mode="bilinear"),
    "interpolate, trilinear": lambda make: F.interpolate(make(1, 4, 4, 4, 4), scale_factor=2, mode="trilinear"),
    "grid_sample": lambda make: F.grid_sample(make(1, 1, 4, 4), make(1, 4, 4, 2, weight=True), align_corners=True),
    "binary_cross_entropy_with_logits": lambda make: F.binary_cross_entropy_with_logits(make(4, 4), make(4, 4)),
    "cross_entropy": lambda make: F.cross_entropy(make(4, 4), torch.zeros_like(make(4), dtype=torch.int64)),
    "mse_loss": lambda make: F.mse_loss(make(4, 4), make(4, 4)),
    "l1_loss": lambda make: F.l1_loss(make(4, 4), make(4, 4)),
    "dropout": lambda make: F.dropout(make(4, 4), 0.5),
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """A function, the dtype it was given, and what came back: by the table, and from the device."""

    function: str
    given: str
    table: str
    device: str

    @property
    def differs(self) -> bool:
        """The trace would count other bytes than there are."""
        return self.table != self.device


#: A function's example and the dtype it is given -> the dtype that comes back.
Returned = Callable[[Callable[[Make], Tensor], torch.dtype], str]


def on_cuda(half: torch.dtype) -> Returned:
    """What torch.autocast returns on the GPU."""

    def returned(example: Callable[[Make], Tensor], given: torch.dtype) -> str:
        with torch.autocast("cuda", half):
            return _dtype(example, _maker(given, "cuda"))

    return returned


def by_table(half: torch.dtype) -> Returned:
    """What the table says, with the shapes and kernels of fake tensors."""

    def returned(example: Callable[[Make], Tensor], given: torch.dtype) -> str:
        with FakeTensorMode(), CudaCasts(half):
            return _dtype(example, _maker(given, "cpu"))

    return returned


def compare(half: torch.dtype, device: Returned) -> Iterator[Row]:
    """Every function, given fp32 and given `half`."""
    table = by_table(half)
    for name, example in EXAMPLES.items():
        for given in (torch.float32, half):
            yield Row(function=name, given=_name(given), table=table(example, given), device=device(example, given))


def _maker(given: torch.dtype, device: str) -> Make:
    def make(*shape: int, weight: bool = False) -> Tensor:
        return torch.ones(shape, dtype=torch.float32 if weight else given, device=device)

    return make


def _dtype(example: Callable[[Make], Tensor], make: Make) -> str:
    try:
        return _name(example(make).dtype)
    except (RuntimeError, TypeError) as error:
        return f"refused: {str(error).splitlines()[0][:60]}"


def _name(dtype: torch.dtype) -> str:
    return {torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16"}.get(dtype, str(dtype))
