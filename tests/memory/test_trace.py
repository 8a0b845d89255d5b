"""The traced peak: its parts, and what raises it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from autoseg.augment import make_batch, warp
from autoseg.augment.synthetic import heaviest_draw, neutral_draw, stage_draw, synthetic_sample
from autoseg.memory import (
    CPU_PROCESS_BYTES,
    CUDA_CONTEXT_BYTES,
    CUDNN_WORKSPACE_BYTES,
    Trace,
    trace_step,
    training_memory,
    with_allowances,
)
from autoseg.memory.trace import AHEAD_PER_WORKER, traced_samples
from autoseg.nets import unet
from autoseg.nets.blocks import ConvBlock
from autoseg.plan import Stage
from autoseg.recipe import STRONG_AUGMENTATION, Augmentation
from autoseg.trainers import loader
from tests import small
from tests.memory.allocations import network as net_of


def peak(stage: Stage, *, exclusive: bool = False, device_type: str = "cpu", precision: Any = "fp32") -> int:
    return trace_step(stage, exclusive=exclusive, precision=precision, device_type=device_type).peak


def test_parts_add_up() -> None:
    stage = small.stage(network=net_of(), recipe=small.recipe(optimizer="adamw"))
    trace = trace_step(stage, exclusive=False, precision="fp32", device_type="cpu")
    weights = sum(p.numel() * 4 for p in unet.build_unet(stage.network).parameters())
    num = sum(1 for _ in unet.build_unet(stage.network).parameters())
    assert (trace.parameters, trace.gradients) == (weights, weights)
    assert trace.optimizer == 2 * weights + 4 * num  # two moments, and a step count each
    cpu, cuda = CPU_PROCESS_BYTES + 5 * trace.raw, CUDA_CONTEXT_BYTES + CUDNN_WORKSPACE_BYTES
    for device_type, fixed in (("cpu", cpu), ("cuda", cuda)):
        memory = with_allowances(trace, device_type=device_type, budget_bytes=7, workers=2)
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
    peaks = [peak(small.stage(network=net_of(), patch=(64, 64), batch=b), device_type=device_type) for b in (2, 3, 6)]
    slope = peaks[1] - peaks[0]
    assert slope > 0
    assert peaks[2] == pytest.approx(peaks[0] + 4 * slope, rel=0.02)


def test_checkpointing_and_smaller_patches_cost_less() -> None:
    stage = small.stage(network=net_of(), patch=(64, 64))
    kept = [peak(replace(stage, checkpointed_stages=n)) for n in (0, 1, 2)]
    assert kept[0] > kept[1] > kept[2]
    assert peak(replace(stage, patch=(32, 64))) < kept[0]


def test_more_classes_cost_more() -> None:
    few, many = (small.stage(network=net_of(num_heads=k), priors=(0.1,) * k, patch=(64, 64)) for k in (2, 30))
    # At least logits and targets of 28 more classes at full resolution.
    assert peak(many) - peak(few) >= 2 * 28 * 2 * 64 * 64 * 4


class Hoarder(ConvBlock):
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
        block = Hoarder if channels_out == 24 else ConvBlock
        blocks = [block(channels_in, channels_out, kernel, stride)]
        blocks += [ConvBlock(channels_out, channels_out, kernel, (1, 1)) for _ in range(num - 1)]
        return nn.Sequential(*blocks)

    monkeypatch.setattr(unet, "conv_stage", hoarding)
    assert peak(stage, device_type=device_type) - before == 2 * 24 * 16 * 16 * 4


@pytest.mark.parametrize("device_type", ["cpu", "cuda"])
def test_a_lighter_decoder_takes_less(device_type: str) -> None:
    light, plain = (small.stage(network=net_of(convs=2, decoder_convs=n), patch=(64, 64)) for n in (1, None))
    assert peak(light, device_type=device_type) < peak(plain, device_type=device_type)


@pytest.mark.parametrize("device_type", ["cpu", "cuda"])
def test_unlabelled_pixels_cost_memory(device_type: str) -> None:
    stage = small.stage(network=net_of(num_heads=20), priors=(0.1,) * 20, patch=(128, 128))
    without, with_ignore = (
        trace_step(stage, exclusive=False, precision="fp32", device_type=device_type, has_ignore=ignore).peak for ignore in (False, True)
    )
    assert with_ignore > without


def wide_reading(**changes: Any) -> Stage:
    """So few features, and so far a zoom, that the batch is made at the peak of the step."""
    network = small.network(features=(1, 1, 1), deep_supervision=False)
    recipe = small.recipe(augmentation=Augmentation(scaling=(0.7, 4.0)))
    return small.stage(**{"network": network, "patch": (64, 64), "batch": 1, "recipe": recipe, "rotation_degrees": 45.0, **changes})


@pytest.mark.parametrize("device_type", ["cpu", "cuda"])
def test_augmentation_is_part_of_the_step(device_type: str) -> None:
    stage = wide_reading()
    box = traced_samples(stage)[0].codes.size
    assert box == pytest.approx(2 * 4**2 * 64 * 64, rel=0.02)  # twice the area by a turn of 45 degrees, 4 squared by scaling
    plain = small.with_recipe(stage, augmentation=small.recipe().augmentation)
    # While the image is warped, it and its codes lie there in 32 bits.
    assert peak(stage, device_type=device_type) - peak(plain, device_type=device_type) > box


@pytest.mark.parametrize("axes", [2, 3])
def test_no_draw_reads_a_larger_box_than_the_heaviest(axes: int) -> None:
    recipe = small.recipe(augmentation=replace(STRONG_AUGMENTATION, elastic_p=1.0, rotation_p=1.0, scaling_p=1.0, grid_distortion_p=1.0))
    stage = small.stage(axes, recipe=recipe, patch=(24, 32, 16)[:axes], rotation_degrees=40.0)
    heaviest = heaviest_draw(stage)
    assert heaviest.elastic is not None
    assert heaviest.grid is not None
    assert heaviest.clahe_clip > 0
    boxes = [synthetic_sample(stage, stage_draw(stage, np.random.default_rng(k))).codes.size for k in range(300)]
    largest = synthetic_sample(stage, heaviest).codes.size
    assert 0.3 * largest < max(boxes) <= largest


def test_what_is_read_ahead_counts_where_it_lies() -> None:
    assert AHEAD_PER_WORKER == loader.AHEAD_PER_WORKER
    sample = traced_samples(wide_reading())[0]
    stage = wide_reading(batch=3)
    # 16 bits of the image, 8 of the codes.
    expected = 3 * (2 * sample.image.size + sample.codes.size)
    assert trace_step(stage, exclusive=False, precision="fp32", device_type="cpu").raw == expected
    trace = Trace(peak=100, parameters=10, gradients=10, optimizer=20, raw=7)
    cpu, cuda = (with_allowances(trace, device_type=kind, budget_bytes=1, workers=3) for kind in ("cpu", "cuda"))
    assert cpu.parts["loader"] == 7 * (2 * 3 + 1)
    assert "loader" not in cuda.parts


def test_a_cascade_brings_the_channels_of_the_stage_before() -> None:
    priors = (0.1,) * 6
    plain = small.stage(network=net_of(num_heads=6), priors=priors, patch=(64, 64))
    cascade = replace(plain, network=net_of(num_heads=6, in_channels=7), previous="2d_lowres")
    assert traced_samples(plain)[0].previous is None
    previous = traced_samples(cascade)[-1].previous
    assert previous is not None
    assert len(previous) == 6
    # Six more channels of the images of the batch.
    assert peak(cascade) - peak(plain) >= 6 * 2 * 64 * 64 * 4


def test_a_sample_leaves_the_same_behind_however_it_is_augmented() -> None:
    # So one augmented sample stands for all of a batch.
    made = []
    for draw in (neutral_draw(wide_reading()), heaviest_draw(wide_reading())):
        batch = make_batch([synthetic_sample(wide_reading(), draw)], (64, 64), device=small.CPU)
        made.append([(tensor.shape, tensor.dtype) for tensor in (batch.images, batch.codes, batch.table)])
    assert made[0] == made[1]


def test_smaller_parts_of_the_batch_cost_less() -> None:
    stage = small.stage(network=net_of(), patch=(64, 64), batch=4)
    peaks = [trace_step(stage, exclusive=False, precision="fp32", device_type="cuda", micro_batch=n).peak for n in (None, 4, 2, 1)]
    assert peaks[0] == peaks[1] > peaks[2] > peaks[3]


def test_a_trace_touches_no_memory_of_its_samples() -> None:
    # Zeros that nobody has written to: each array is its own, and none is copied.
    samples = traced_samples(wide_reading(patch=(2048, 2048)))
    assert samples[0].image.dtype == np.int32
    assert not samples[0].image.any()


@pytest.mark.parametrize("device_type", ["cpu", "cuda"])
@pytest.mark.parametrize(("patch", "augmentation"), [((600, 640), STRONG_AUGMENTATION), ((40, 96, 100), Augmentation())])
def test_a_few_of_many_strips_are_as_high_as_all(
    monkeypatch: pytest.MonkeyPatch, patch: tuple[int, ...], augmentation: Augmentation, device_type: str
) -> None:
    """Strips of a fifth or less of the patch, the last one smaller."""
    monkeypatch.setattr(warp, "STRIP_PIXELS", 7 * patch[1] * (patch[2] if len(patch) == 3 else 17))
    stage = small.stage(len(patch), patch=patch, batch=2, recipe=replace(small.recipe(), augmentation=augmentation))
    few = peak(stage, device_type=device_type)
    monkeypatch.setattr(warp, "_strips", lambda length, step: range(0, length, step))
    assert few == peak(stage, device_type=device_type)


def test_the_memory_of_a_plan_names_its_budget() -> None:
    memory = training_memory(small.stage(), exclusive=False, precision="fp32", device_type="cuda", budget_bytes=123)
    assert memory.budget_bytes == 123
    assert memory.parts.keys() == {"parameters", "gradients", "optimizer", "activations", "workspace", "context"}
