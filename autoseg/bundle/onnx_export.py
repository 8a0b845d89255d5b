"""A net as an ONNX file: fp32, any batch, any size that is a multiple of what it pools by; compared with torch before it counts."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from autoseg.bundle.onnx_net import INPUT, OUTPUT, OnnxNet, needs
from autoseg.errors import FileFormatError, UsageError
from autoseg.nets import UNet
from autoseg.nets.norm import choose_kernels

#: torch 2.5's exporter and later ones write it; onnxruntime reads it since 1.14.
OPSET = 18
#: Logits may differ by this share of the largest; both compute in fp32, in another order.
TOLERANCE = 1e-3
#: A protobuf message, which an ONNX file is, ends at 2 GiB.
MAX_BYTES = 2**31 - 2**20
AXES = "zyx"


class _Finest(nn.Module):
    """The net's logits at full resolution alone."""

    def __init__(self, net: UNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> Tensor:
        finest: Tensor = self.net(image)[0]
        return finest


def export_net(net: UNet, channels: int, multiple: Sequence[int]) -> bytes:
    """A net as an ONNX file.

    Parameters
    ----------
    net : UNet
        On the CPU, in eval mode.
    channels : int
        Of its input.
    multiple : sequence of int
        What the input's shape must be a multiple of, per axis; the file says so in its dimensions ("128*y_blocks").

    Returns
    -------
    bytes
        Input "image" (N, C, (Z,) Y, X), not padded: pad outside, by mirroring. Output "logits" (N, H, (Z,) Y, X).

    Raises
    ------
    UsageError
        If what exports is not installed, or the net is beyond an ONNX file.
    """
    for module in ("onnx", "onnxscript"):
        needs(module)
    if 4 * sum(value.numel() for value in net.parameters()) > MAX_BYTES:
        raise UsageError("the net has more weights than the 2 GiB of an ONNX file")
    # Instance norm as one operator: the CPU's kernel goes sample by sample, which fixes the batch.
    plain = copy.deepcopy(net).eval()
    choose_kernels(plain, "cuda")
    names = AXES[-len(multiple) :]
    sizes = {2 + i: m * torch.export.Dim(f"{name}_blocks") for i, (m, name) in enumerate(zip(multiple, names, strict=True))}
    example = torch.zeros(2, channels, *(3 * m for m in multiple))
    with _quiet():
        program = torch.onnx.export(
            _Finest(plain).eval(), (example,), dynamo=True, dynamic_shapes=({0: torch.export.Dim("batch"), **sizes},),
            input_names=[INPUT], output_names=[OUTPUT], opset_version=OPSET, verbose=False, external_data=False,
        )  # fmt: skip
    assert program is not None, "the dynamo exporter gives a program"
    return bytes(program.model_proto.SerializeToString(deterministic=True))


def check_export(data: bytes, net: UNet, channels: int, multiple: Sequence[int]) -> float:
    """Compare an ONNX file with torch at two sizes and two batches that it was not exported at.

    Returns
    -------
    float
        The largest difference of a logit, as a share of the largest logit or of 1, whichever is more.

    Raises
    ------
    FileFormatError
        If it is above `TOLERANCE`.
    """
    cpu = torch.device("cpu")
    other, worst = OnnxNet(data, cpu), 0.0
    generator = torch.Generator().manual_seed(0)
    for batch, blocks in ((1, 2), (2, 1)):
        shape = [m * (blocks + (i == len(multiple) - 1)) for i, m in enumerate(multiple)]
        image = torch.randn(batch, channels, *shape, generator=generator)
        with torch.inference_mode():
            expected = net(image)[0]
            found = other(image)[0]
        worst = max(worst, float((found - expected).abs().max() / expected.abs().max().clamp(min=1)))
    if not worst <= TOLERANCE:
        raise FileFormatError(f"the ONNX file differs from torch by {worst:.1e}, more than {TOLERANCE:g}; it is not kept")
    return worst


@contextmanager
def _quiet() -> Iterator[None]:
    """torch's exporter warns of its own use of torch, and logs what it does without torchvision."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
