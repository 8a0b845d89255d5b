"""The casts of CUDA on a machine without it: by torch's own table."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode, resolve_name

from autoseg.memory import CudaCasts, trace_step
from autoseg.memory.casts import FP32, FP32_RESULT, HALF, POLICY, TABLE, WIDEST
from autoseg.nets.blocks import ConvBlock
from autoseg.nets.up import UpConv2d
from autoseg.plan import Stage
from autoseg.step import arrange, build_learner
from tests import small
from tests.memory.allocations import network as net_of

HEADER = Path(torch.__file__).parent / "include/ATen/autocast_mode.h"
#: Its macros, and how each casts.
MACROS = {"LOWER_PRECISION_FP": HALF, "FP32": FP32, "FP32_SET_OPT_DTYPE": FP32_RESULT, "PROMOTE": WIDEST}


def header_table() -> dict[str, str]:
    """Name -> how it is cast, as the installed torch's header says."""
    text = HEADER.read_text(encoding="utf-8").replace("\\\n", "\n")
    found: dict[str, str] = {}
    for macro, how in MACROS.items():
        # One of them ends the header of torch 2.7.
        body = re.search(rf"#define AT_FORALL_{macro}\(_\)(.*?)(?:\n\s*\n|\Z)", text, re.DOTALL)
        assert body is not None, macro
        found |= dict.fromkeys(re.findall(r"_\((\w+)", body[1]), how)
    redispatched = re.search(r"#define AT_FORALL_DIFFERENT_REDISPATCH_SIGNATURE\(_\)(.*?)\n\s*\n", text, re.DOTALL)
    assert redispatched is not None
    return found | dict.fromkeys(re.findall(r"ADD_NS\((\w+)\)", redispatched[1]), FP32)


@pytest.mark.skipif(not HEADER.is_file(), reason="this torch was installed without its headers")
def test_the_table_is_torchs() -> None:
    ours = {name: how for how, names in TABLE.items() for name in names}
    theirs = header_table()
    assert len(theirs) > 90
    # An older torch knows fewer functions; what it knows it casts as the table says.
    assert {name: ours.get(name) for name in theirs} == theirs
    if torch.__version__.startswith("2.13."):
        assert ours == theirs


def peak(stage: Stage, *, device_type: str, precision: Any) -> int:
    return trace_step(stage, exclusive=False, precision=precision, device_type=device_type).peak


@contextmanager
def watched(*modules: type[nn.Module]) -> Iterator[dict[str, set[torch.dtype]]]:
    """Dtypes of what modules of these kinds give."""
    seen: dict[str, set[torch.dtype]] = {}

    def note(module: nn.Module, args: Any, output: Any) -> None:
        if isinstance(module, modules) and isinstance(output, Tensor):
            seen.setdefault(type(module).__name__, set()).add(output.dtype)

    handle = nn.modules.module.register_module_forward_hook(note)
    try:
        yield seen
    finally:
        handle.remove()


def test_fp16_on_cuda_is_traced_in_fp16() -> None:
    stage = small.stage(network=net_of(), patch=(64, 64))
    kinds = (nn.Conv2d, UpConv2d, ConvBlock)
    with watched(*kinds) as seen:
        half = peak(stage, device_type="cuda", precision="fp16")
    assert seen == {kind.__name__: {torch.float16} for kind in kinds}
    with watched(*kinds) as seen:
        full = peak(stage, device_type="cuda", precision="fp32")
    assert seen == {kind.__name__: {torch.float32} for kind in kinds}
    assert 0.4 < half / full < 0.75


def test_the_casts_are_those_of_cudas_autocast() -> None:
    x, w = torch.randn(1, 2, 4, 4), torch.randn(3, 2, 1, 1)
    with CudaCasts(torch.float16):
        assert F.conv2d(x, w).dtype == torch.float16
        assert torch.matmul(x.flatten(1), x.flatten(1).T).dtype == torch.float16
        assert F.group_norm(x.half(), 2).dtype == torch.float32
        assert F.softmax(x.half(), 1).dtype == torch.float32
        assert F.leaky_relu(x.half()).dtype == torch.float16
        assert (x.half() + 1).dtype == torch.float16


def test_a_weight_is_cast_once_in_a_forward() -> None:
    weight = nn.Parameter(torch.randn(3, 2, 1, 1))
    with CudaCasts(torch.float16) as casts:
        for _ in range(3):
            F.conv2d(torch.randn(1, 2, 4, 4), weight)
    assert len(casts.weights) == 1


@pytest.mark.parametrize(
    ("given", "expected"),
    [((torch.float16, torch.float16), torch.float16), ((torch.float16, torch.float32), torch.float32),
     ((torch.float32, torch.float32), torch.float32)],
)  # fmt: skip
def test_some_take_the_widest(given: tuple[torch.dtype, torch.dtype], expected: torch.dtype) -> None:
    a, b = (torch.ones(3, dtype=dtype) for dtype in given)
    with CudaCasts(torch.float16):
        assert torch.atan2(a, b).dtype == expected
        assert torch.cat([a, b]).dtype == expected  # by itself


def test_a_result_in_fp32_makes_no_copy_of_its_argument() -> None:
    x = torch.ones(4, 8, dtype=torch.float16)
    with CudaCasts(torch.float16):
        assert x.sum(1).dtype == torch.float32
        assert torch.sum(x, 1, dtype=torch.float16).dtype == torch.float16  # as asked
        assert torch.ones(3, dtype=torch.int64).sum().dtype == torch.int64


def test_fp64_is_left_alone() -> None:
    x = torch.ones(2, 2, dtype=torch.float64)
    with CudaCasts(torch.float16):
        assert (x @ x).dtype == torch.float64


class Called(TorchFunctionMode):
    """Names of the functions that are called with tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[Any, str] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen[func] = resolve_name(func) or repr(func)
        return func(*args, **(kwargs or {}))


#: Functions of the nets that autocast leaves alone: their results have the dtype of their arguments, or the widest of them by themselves.
LEFT_ALONE = {
    "torch.nn.functional.instance_norm", "torch.nn.functional.batch_norm", "torch.nn.functional.leaky_relu", "torch.cat",
    "torch.functional.split", "torch.Tensor.sub", "torch.Tensor.mul", "torch.Tensor.add", "torch.Tensor.add_", "torch.Tensor.to",
    "torch.Tensor.view",
    "torch.Tensor.shape.__get__", "torch.Tensor.dtype.__get__", "torch.Tensor.ndim.__get__",
}  # fmt: skip


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("patch", [4, 16])
@pytest.mark.parametrize("device_type", ["cpu", "cuda"])
def test_every_function_of_the_nets_is_known(axes: int, patch: int, device_type: str) -> None:
    learner = build_learner(small.stage(axes, network=net_of(axes)), small.CPU, exclusive=False, precision="fp32")
    arrange(learner.net, device_type, axes)
    given = torch.zeros(2, 1, *(patch,) * axes)
    with Called() as called:
        learner.net(given)
    known = {func: name for func, name in called.seen.items() if func in POLICY}
    assert {POLICY[func] for func in known} == {HALF}
    assert len(known) == 2  # convolutions, transposed convolutions
    assert set(called.seen.values()) - set(known.values()) <= LEFT_ALONE
