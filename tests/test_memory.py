"""The traced peak against what the allocator really hands out, and the casts of CUDA on a machine without it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from autoseg.augment import Batch
from autoseg.memory import (
    CPU_PROCESS_BYTES,
    CUDA_CONTEXT_BYTES,
    CUDA_ROUNDING,
    CUDNN_WORKSPACE_BYTES,
    CudaCasts,
    LiveBytes,
    trace_step,
    training_memory,
    with_allowances,
)
from autoseg.nets import unet
from autoseg.plan import Stage
from autoseg.step import Learner, build_learner, memory_format, training_step
from tests import small


def peak(stage: Stage, *, exclusive: bool = False, device_type: str = "cpu", precision: Any = "fp32") -> int:
    return trace_step(stage, exclusive=exclusive, precision=precision, device_type=device_type).peak


def net_of(axes: int = 2, num_heads: int = 2, **changes: Any) -> Any:
    return small.network(axes, features=(8, 16, 24), convs=2, num_heads=num_heads, **changes)


def real_batch(stage: Stage, *, ignore: bool) -> Batch:
    given = small.batch(stage.batch, stage.patch, sets=64, ignore=ignore, classes=len(stage.priors))
    if len(stage.priors) == 2:
        given.table[..., 1] &= ~given.table[..., 0]
    return replace(given, images=given.images.contiguous(memory_format=memory_format(len(stage.patch), "cpu")))


def resting_bytes(learner: Learner, batch: Batch) -> int:
    """What lies there before a step: weights, optimizer state, the batch."""
    state = [t for values in learner.optimizer.state.values() for t in values.values()]
    given = [batch.images, batch.codes, batch.table]
    return sum(t.untyped_storage().nbytes() for t in (*learner.net.parameters(), *state, *given))


def allocated_peak(stage: Stage, *, exclusive: bool, ignore: bool = False) -> int:
    """The same step on real tensors, as torch's profiler counts the allocator's bytes."""
    torch.manual_seed(0)
    learner, batch = build_learner(stage, small.CPU, exclusive=exclusive, precision="fp32"), real_batch(stage, ignore=ignore)
    training_step(learner, [batch])
    learner.optimizer.zero_grad(set_to_none=True)
    resting = resting_bytes(learner, batch)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        training_step(learner, [batch])
    assert record.profiler is not None
    assert record.profiler.kineto_results is not None
    events = sorted((e.start_ns(), e.nbytes()) for e in record.profiler.kineto_results.events() if e.name() == "[memory]")
    now = highest = 0
    for _, change in events:
        now += change
        highest = max(highest, now)
    return resting + highest


@pytest.mark.parametrize(
    ("axes", "exclusive", "changes"),
    [
        (2, False, {"patch": (64, 64)}),
        (2, True, {"patch": (64, 64)}),
        (2, False, {"patch": (64, 64), "checkpointed_stages": 2}),
        (2, False, {"patch": (96, 32), "batch": 1, "recipe": small.recipe(optimizer="sgd")}),
        (3, False, {"patch": (16, 16, 16)}),
    ],
)
def test_the_trace_is_what_the_allocator_hands_out(axes: int, exclusive: bool, changes: dict[str, Any]) -> None:
    stage = small.stage(axes, exclusive=exclusive, network=net_of(axes, 2 + exclusive), **changes)
    assert peak(stage, exclusive=exclusive) == pytest.approx(allocated_peak(stage, exclusive=exclusive), rel=0.05)


@pytest.mark.parametrize("device_type", ["cpu", "cuda"])
def test_unlabelled_pixels_cost_memory(device_type: str) -> None:
    stage = small.stage(network=net_of(num_heads=20), priors=(0.1,) * 20, patch=(128, 128))
    without, traced = (
        trace_step(stage, exclusive=False, precision="fp32", device_type=device_type, has_ignore=ignore).peak for ignore in (False, True)
    )
    assert traced > 1.05 * without
    if device_type == "cpu":
        assert traced == pytest.approx(allocated_peak(stage, exclusive=False, ignore=True), rel=0.07)


def test_parts_add_up() -> None:
    stage = small.stage(network=net_of(), recipe=small.recipe(optimizer="adamw"))
    trace = trace_step(stage, exclusive=False, precision="fp32", device_type="cpu")
    weights = sum(p.numel() * 4 for p in unet.build_unet(stage.network).parameters())
    num = sum(1 for _ in unet.build_unet(stage.network).parameters())
    assert (trace.parameters, trace.gradients) == (weights, weights)
    assert trace.optimizer == 2 * weights + 4 * num  # two moments, and a step count each
    for device_type, fixed in (("cpu", CPU_PROCESS_BYTES), ("cuda", CUDA_CONTEXT_BYTES + CUDNN_WORKSPACE_BYTES)):
        memory = with_allowances(trace, device_type=device_type, budget_bytes=7)
        assert memory.budget_bytes == 7
        assert memory.peak_bytes == trace.peak + fixed == sum(memory.parts.values())
        assert memory.parts["activations"] > 0


def test_the_optimizers_differ_by_their_states() -> None:
    stages = [small.stage(network=net_of(), recipe=small.recipe(optimizer=name)) for name in ("adamw", "sgd")]
    adamw, sgd = (trace_step(stage, exclusive=False, precision="fp32", device_type="cpu") for stage in stages)
    assert sgd.optimizer == sgd.parameters
    assert adamw.peak - sgd.peak == adamw.optimizer - sgd.optimizer


@pytest.mark.parametrize("device_type", ["cpu", "cuda"])
def test_memory_is_nearly_affine_in_the_batch(device_type: str) -> None:
    peaks = [peak(small.stage(network=net_of(), patch=(64, 64), batch=b), device_type=device_type) for b in (2, 3, 4, 8)]
    slope = peaks[1] - peaks[0]
    assert slope > 0
    assert peaks[2] == pytest.approx(peaks[0] + 2 * slope, rel=0.02)
    assert peaks[3] == pytest.approx(peaks[0] + 6 * slope, rel=0.02)


def test_checkpointing_and_smaller_patches_cost_less() -> None:
    stage = small.stage(network=net_of(), patch=(64, 64))
    kept = [peak(replace(stage, checkpointed_stages=n)) for n in (0, 1, 2)]
    assert kept[0] > kept[1] > kept[2]
    assert peak(replace(stage, patch=(32, 64))) < kept[0]


def test_more_classes_cost_more() -> None:
    few, many = (small.stage(network=net_of(num_heads=k), priors=(0.1,) * k, patch=(64, 64)) for k in (2, 30))
    # At least logits and targets of 28 more classes at full resolution.
    assert peak(many) - peak(few) >= 2 * 28 * 2 * 64 * 64 * 4


class Hoarder(unet.ConvBlock):
    """A block that keeps one more tensor of its output's size for its backward pass."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return Extra.apply(y)  # type: ignore[no-untyped-call, no-any-return]


class Extra(torch.autograd.Function):
    """The identity, with a fresh tensor of its input's size saved."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(torch.empty_like(x))
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        _ = ctx.saved_tensors
        return grads[0]


@pytest.mark.parametrize("device_type", ["cpu", "cuda"])
def test_one_more_saved_activation_raises_the_peak_by_its_bytes(monkeypatch: pytest.MonkeyPatch, device_type: str) -> None:
    stage = small.stage(network=net_of(), patch=(64, 64))
    before = peak(stage, device_type=device_type)

    def hoarding(channels_in: int, channels_out: int, kernel: Any, stride: Any, num: int) -> nn.Sequential:
        # The coarsest stage alone, whose activations all live at the peak.
        block = Hoarder if channels_out == 24 else unet.ConvBlock
        blocks = [block(channels_in, channels_out, kernel, stride)]
        blocks += [unet.ConvBlock(channels_out, channels_out, kernel, (1, 1)) for _ in range(num - 1)]
        return nn.Sequential(*blocks)

    monkeypatch.setattr(unet, "conv_stage", hoarding)
    assert peak(stage, device_type=device_type) - before == 2 * 24 * 16 * 16 * 4


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
    kinds = (nn.Conv2d, nn.ConvTranspose2d, unet.ConvBlock)
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


def test_live_bytes() -> None:
    with LiveBytes(1) as counter:
        a = torch.empty(1000)
        b = a.view(10, 100)  # the same storage
        c = torch.empty(500)
        assert counter.now == 6000
        del c
        assert (counter.now, counter.peak) == (4000, 6000)
        del a
        assert counter.now == 4000
        del b
        assert counter.now == 0


def test_cudas_blocks_are_rounded() -> None:
    with LiveBytes(CUDA_ROUNDING) as counter:
        kept = [torch.empty(1), torch.empty(128), torch.empty(129)]
        assert counter.now == 512 + 512 + 1024
    assert len(kept) == 3


def test_the_memory_of_a_plan_names_its_budget() -> None:
    memory = training_memory(small.stage(), exclusive=False, precision="fp32", device_type="cuda", budget_bytes=123)
    assert memory.budget_bytes == 123
    assert memory.parts.keys() == {"parameters", "gradients", "optimizer", "activations", "workspace", "context"}
