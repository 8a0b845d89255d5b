"""The one optimisation step: it learns, its gradients add up, and it is the same every time."""

import ctypes
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from autoseg.augment import Batch
from autoseg.errors import DeviceError
from autoseg.nets import build_unet
from autoseg.optimizers import build_optimizer
from autoseg.plan import Stage
from autoseg.recipe import OptimizerName
from autoseg.step import (
    Learner,
    abandon_step,
    arrange,
    arrange_loss,
    build_learner,
    give_back_freed_memory,
    is_out_of_memory,
    keep_freed_memory,
    memory_format,
    read_later,
    set_lr,
    split_batch,
    training_step,
)
from tests import small
from tests.small import bright_squares


def learner(stage: Stage | None = None, *, exclusive: bool = False, precision: Any = "fp32", seed: int = 0) -> Learner:
    torch.manual_seed(seed)
    return build_learner(stage or small.stage(exclusive=exclusive), small.CPU, exclusive=exclusive, precision=precision)


def weights(of: Learner) -> list[Tensor]:
    return [p.detach().clone() for p in of.net.parameters()]


def gradients(of: Learner) -> list[Tensor]:
    return [p.grad.clone() for p in of.net.parameters() if p.grad is not None]


def test_figures_that_are_read_later_are_their_own_steps() -> None:
    one, batch = learner(), bright_squares()
    first = training_step(one, [batch])
    reading = read_later(first)
    training_step(one, [batch])
    assert reading.numbers() == (float(first.loss), float(first.gradient_norm))


@pytest.mark.parametrize(("optimizer", "lr"), [("sgd", 0.1), ("adamw", 0.01)])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_steps_lower_the_loss(optimizer: OptimizerName, lr: float, precision: str) -> None:
    one = learner(small.with_recipe(small.stage(), optimizer=optimizer, lr=lr, momentum=0.9), precision=precision)
    losses = [float(training_step(one, [bright_squares()]).loss) for _ in range(30)]
    assert losses[0] == pytest.approx(2, abs=0.7)  # Dice near 1, cross-entropy near 1: what the priors give
    assert losses[-1] < 0.6 * losses[0]


def test_the_loss_is_that_of_the_net_before_the_update() -> None:
    one, given = learner(), bright_squares()
    expected = one.loss(one.net(given.images), given.codes, given.table, given.ignore)
    assert float(training_step(one, [given]).loss) == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("exclusive", [False, True])
def test_a_step_is_the_same_every_time(exclusive: bool) -> None:
    runs = []
    for _ in range(2):
        one = learner(exclusive=exclusive)
        given = small.batch(ignore=True)
        if exclusive:
            given.table[..., 1] &= ~given.table[..., 0]
        for _ in range(3):
            training_step(one, [given])
        runs.append(weights(one))
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


class MeanError(nn.Module):
    """A loss that is a mean over samples, as the batch Dice is not."""

    def forward(self, logits: Sequence[Tensor], codes: Tensor, table: Tensor, ignore: Tensor | None) -> Tensor:
        target = codes.unsqueeze(1).float() / 4
        return (logits[0] - target).square().mean()


def test_micro_batches_add_up_to_the_batch() -> None:
    whole = small.batch(4)
    parts = [Batch(images=whole.images[i : i + 2], codes=whole.codes[i : i + 2], table=whole.table[i : i + 2], ignore=None) for i in (0, 2)]
    results = []
    for batches in ([whole], parts):
        one = learner()
        one.loss = MeanError()  # type: ignore[assignment]
        result = training_step(one, batches)
        results.append((float(result.loss), float(result.gradient_norm), gradients(one)))
    assert results[0][:2] == pytest.approx(results[1][:2], rel=1e-5)
    for a, b in zip(results[0][2], results[1][2], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-7)


def test_the_gradient_is_cut_to_its_norm() -> None:
    free, cut = learner(), learner(small.with_recipe(small.stage(), clip_norm=1e-3))
    norm = float(training_step(free, [small.batch()]).gradient_norm)
    assert float(training_step(cut, [small.batch()]).gradient_norm) == pytest.approx(norm)  # before clipping
    assert 1e-3 < norm < 12
    total = torch.stack([g.square().sum() for g in gradients(cut)]).sum().sqrt()
    assert float(total) == pytest.approx(1e-3, rel=1e-3)
    for a, b in zip(gradients(free), gradients(cut), strict=True):
        torch.testing.assert_close(a * (1e-3 / norm), b, rtol=1e-3, atol=1e-9)


def test_gradients_of_the_step_before_do_not_linger() -> None:
    one = learner()
    set_lr(one, 0.0)
    training_step(one, [small.batch(seed=1)])
    first = gradients(one)
    training_step(one, [small.batch(seed=1)])
    assert all(torch.equal(a, b) for a, b in zip(first, gradients(one), strict=True))


def test_devices_are_averaged_before_the_gradient_is_cut() -> None:
    seen: list[float] = []

    def reduce(net: nn.Module) -> None:
        for parameter in net.parameters():
            assert parameter.grad is not None
            seen.append(float(parameter.grad.abs().sum()))
            parameter.grad.zero_()

    result = training_step(learner(), [small.batch()], reduce)
    assert sum(seen) > 0
    assert float(result.gradient_norm) == 0


def test_sgd_in_closed_form() -> None:
    # Nesterov's first step: w - lr * (1 + m) * (g + decay * w).
    stage = small.with_recipe(small.stage(), optimizer="sgd", lr=0.1, momentum=0.9, weight_decay=0.01, clip_norm=1e9)
    one = learner(stage)
    before = weights(one)
    training_step(one, [small.batch()])
    for w, g, after in zip(before, gradients(one), weights(one), strict=True):
        torch.testing.assert_close(after, w - 0.1 * 1.9 * (g + 0.01 * w), rtol=1e-4, atol=1e-6)


def test_adamw_in_closed_form() -> None:
    # The first step moves by lr in the gradient's sign (where it is not zero), beside the decay.
    one = learner(small.with_recipe(small.stage(), lr=0.1, weight_decay=0.01))
    before = weights(one)
    training_step(one, [small.batch()])
    for w, g, after in zip(before, gradients(one), weights(one), strict=True):
        torch.testing.assert_close(after, w * (1 - 0.1 * 0.01) - 0.1 * g / (g.abs() + 1e-8), rtol=1e-3, atol=1e-5)


def test_the_learning_rate_can_be_set() -> None:
    one = learner(small.with_recipe(small.stage(), weight_decay=0.0))
    before = weights(one)
    set_lr(one, 0.0)
    training_step(one, [small.batch()])
    assert all(torch.equal(a, b) for a, b in zip(before, weights(one), strict=True))


@pytest.mark.parametrize("axes", [2, 3])
def test_a_cpu_gets_channels_last_and_one_sample_norms(axes: int) -> None:
    one = learner(small.stage(axes))
    assert memory_format(axes, "cuda") == torch.contiguous_format
    conv = one.net.encoder[1][0]  # type: ignore[index]
    assert conv.conv.weight.is_contiguous(memory_format=memory_format(axes, "cpu"))
    assert conv.norm.per_sample
    assert all(up.bias_apart for up in one.net.ups)
    assert one.loss.in_pieces
    arrange(one.net, "cuda", axes)
    arrange_loss(one.loss, "cuda")
    assert not any(up.bias_apart for up in one.net.ups)
    assert not one.loss.in_pieces
    assert conv.conv.weight.is_contiguous()
    assert not conv.norm.per_sample


@pytest.mark.parametrize("axes", [2, 3])
def test_the_first_convolution_of_one_channel_gives_channels_last(axes: int) -> None:
    one = learner(small.stage(axes))
    y = one.net.encoder[0][0].conv(small.batch(patch=(16,) * axes).images)  # type: ignore[index]
    assert y.is_contiguous(memory_format=memory_format(axes, "cpu"))
    arrange(one.net, "cuda", axes)
    assert one.net.encoder[0][0].conv(small.batch(patch=(16,) * axes).images).is_contiguous()  # type: ignore[index]


@pytest.mark.skipif(sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="asks glibc's own count")
def test_large_tensors_are_not_mapped_once_memory_is_kept() -> None:
    keep_freed_memory()
    before = mapped_blocks()
    large = [torch.zeros(2**24) for _ in range(3)]
    assert mapped_blocks() <= before
    assert len(large) == 3


@pytest.mark.skipif(sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="asks glibc to trim")
def test_kept_memory_is_given_back_on_demand() -> None:
    keep_freed_memory()
    large = [torch.ones(2**24) for _ in range(3)]
    assert large.pop() is not None
    barrier = torch.ones(2**24)
    large.clear()
    held = resident_bytes()
    give_back_freed_memory()
    assert resident_bytes() < held - 2**27
    assert barrier.all()


def resident_bytes() -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return 1024 * int(line.split()[1])


class MallInfo(ctypes.Structure):
    """What glibc's mallinfo2 returns: ten counts, `hblks` the blocks that are mapped."""

    names = ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")
    _fields_ = tuple((name, ctypes.c_size_t) for name in names)
    hblks: int


def mapped_blocks() -> int:
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = MallInfo
    return int(mallinfo2().hblks)


def test_a_learner_follows_its_stage() -> None:
    stage = replace(small.stage(), checkpointed_stages=2)
    one = learner(stage)
    assert one.net.checkpointed_stages == 2
    assert one.scaler is None
    assert one.clip_norm == stage.recipe.clip_norm
    assert all(group["fused"] for group in one.optimizer.param_groups)


def test_bf16_computes_in_bf16_and_keeps_fp32_weights() -> None:
    one = learner(precision="bf16")
    seen: list[torch.dtype] = []
    one.net.encoder[0].register_forward_hook(lambda module, args, output: seen.append(output.dtype))
    training_step(one, [small.batch()])
    assert seen == [torch.bfloat16]
    assert {p.dtype for p in one.net.parameters()} == {torch.float32}


#: What GradScaler sets on a fused optimizer: 1 skips the step.
FOUND = "found_inf"


def test_a_first_step_that_the_scaler_skips_leaves_no_garbage() -> None:
    # torch's fused SGD makes its buffers without values at the first step: skipped, they would be whatever lay in memory.
    net = build_unet(small.stage().network)
    optimizer = build_optimizer(net, small.recipe(optimizer="sgd", lr=0.1))
    before = [parameter.detach().clone() for parameter in net.parameters()]
    for parameter in net.parameters():
        parameter.grad = torch.full_like(parameter, float("inf"))
    setattr(optimizer, FOUND, torch.ones(()))
    optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    setattr(optimizer, FOUND, torch.zeros(()))
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for a, b in zip(before, net.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-4)  # weight decay alone


@pytest.mark.parametrize(("num", "size"), [(4, 2), (3, 2), (5, 2), (3, 1)])
def test_uneven_parts_add_up_to_the_batch(num: int, size: int) -> None:
    whole = small.batch(num, ignore=True)
    results = []
    for batches in ([whole], split_batch(whole, size)):
        one = learner()
        one.loss = MeanError()  # type: ignore[assignment]
        result = training_step(one, batches)
        results.append((float(result.loss), float(result.gradient_norm), gradients(one)))
    assert results[0][:2] == pytest.approx(results[1][:2], rel=1e-5)
    for a, b in zip(results[0][2], results[1][2], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-7)


def test_without_batch_dice_the_products_loss_is_the_same_in_parts() -> None:
    # Focal loss is a mean over pixels; Dice of the whole batch is none, and its gradient changes.
    whole = small.batch(3)
    changes = {}
    for name in ("focal", "dice_bce"):
        found = []
        for batches in ([whole], split_batch(whole, 2)):
            one = learner(small.with_recipe(small.stage(), loss=name))
            training_step(one, batches)
            found.append(torch.cat([g.flatten() for g in gradients(one)]))
        changes[name] = float((found[0] - found[1]).norm() / found[0].norm())
    assert changes["focal"] < 1e-5
    assert changes["dice_bce"] > 1e-3


def test_parts_are_views_in_order() -> None:
    whole = small.batch(5, ignore=True)
    parts = split_batch(whole, 2)
    assert [len(part.images) for part in parts] == [2, 2, 1]
    for name in ("images", "codes", "table", "ignore"):
        tensors = [getattr(part, name) for part in parts]
        assert torch.equal(torch.cat(tensors), getattr(whole, name))
        assert tensors[0].data_ptr() == getattr(whole, name).data_ptr()
    assert split_batch(small.batch(2), 2)[0].ignore is None


def test_memory_that_runs_out_in_the_update_is_an_error_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    one = learner()

    def step() -> None:
        raise torch.OutOfMemoryError("no more")

    monkeypatch.setattr(one.optimizer, "step", step)
    with pytest.raises(DeviceError, match=r"while the weights were being updated.*continues from the last checkpoint"):
        training_step(one, [small.batch()])


@pytest.mark.parametrize(("optimizer", "states"), [("sgd", {"momentum_buffer"}), ("adamw", {"step", "exp_avg", "exp_avg_sq"})])
def test_the_optimizers_states_are_those_of_torch(optimizer: OptimizerName, states: set[str]) -> None:
    one = learner(small.with_recipe(small.stage(), optimizer=optimizer))
    before = {p: dict(values) for p, values in one.optimizer.state.items()}
    training_step(one, [small.batch()])
    for parameter in one.net.parameters():
        assert set(one.optimizer.state[parameter]) == states
        # Made beforehand and used, in the layout of the weights.
        assert all(one.optimizer.state[parameter][name] is before[parameter][name] for name in states)
        assert all(value.stride() == parameter.stride() for value in before[parameter].values() if value.ndim)


@pytest.mark.parametrize("at", ["forward", "second part", "backward"])
def test_a_step_that_fails_leaves_nothing_behind(at: str) -> None:
    one, twin, whole = learner(), learner(), small.batch(2)
    training_step(one, [whole])
    training_step(twin, [whole])
    before = [p.detach().clone() for p in one.net.parameters()]
    calls = 0

    def fail(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == (2 if at == "second part" else 1):
            raise torch.OutOfMemoryError("no more")

    module = one.net.encoder[1]
    handle = module.register_full_backward_hook(fail) if at == "backward" else module.register_forward_hook(fail)
    with pytest.raises(torch.OutOfMemoryError):
        training_step(one, split_batch(whole, 1))
    handle.remove()
    abandon_step(one)
    assert all(torch.equal(a, b) for a, b in zip(before, weights(one), strict=True))
    assert all(p.grad is None for p in one.net.parameters())
    # What follows is as if nothing had been.
    for each in (one, twin):
        training_step(each, split_batch(whole, 1))
    assert all(torch.equal(a, b) for a, b in zip(weights(one), weights(twin), strict=True))


def test_a_scaler_that_has_unscaled_begins_anew_with_its_scale() -> None:
    one = learner()
    one.scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    training_step(one, [small.batch()])

    def fail(net: nn.Module) -> None:
        assert one.scaler is not None
        one.scaler.unscale_(one.optimizer)
        raise torch.OutOfMemoryError("no more")

    with pytest.raises(torch.OutOfMemoryError):
        training_step(one, [small.batch()], fail)
    abandon_step(one)
    assert one.scaler is not None
    assert one.scaler.get_scale() == 8.0
    training_step(one, [small.batch()])


class Infinite(MeanError):
    """A loss that is not finite, with gradients that are."""

    def forward(self, *arguments: Any) -> Tensor:
        return super().forward(*arguments) + float("inf")


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "lion"])
@pytest.mark.parametrize("scaled", [False, True])
def test_a_loss_that_is_not_finite_updates_nothing_whatever_its_gradient(optimizer: OptimizerName, scaled: bool) -> None:
    one = learner(small.with_recipe(small.stage(), optimizer=optimizer))
    one.scaler = torch.amp.GradScaler("cpu", init_scale=8.0) if scaled else None
    finite = one.loss
    one.loss = Infinite()  # type: ignore[assignment]
    before = weights(one)
    result = training_step(one, [small.batch()])
    assert float(result.loss) == float("inf")
    assert all(torch.equal(a, b) for a, b in zip(before, weights(one), strict=True))
    one.loss = finite
    training_step(one, [small.batch()])
    assert not all(torch.equal(a, b) for a, b in zip(before, weights(one), strict=True))


def test_a_scaler_leaves_the_gradients_of_a_finite_loss_as_they_are() -> None:
    one, twin = learner(), learner()
    one.scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    for each in (one, twin):
        training_step(each, [small.batch()])
    assert all(torch.equal(a, b) for a, b in zip(gradients(one), gradients(twin), strict=True))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to ..."), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED"), True),
        (RuntimeError("CUDA driver error: out of memory"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"), False),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("can't allocate memory for the thread"), False),
        (RuntimeError("expected scalar type Float"), False),
    ],
)
def test_out_of_memory_is_recognised(error: RuntimeError, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


@pytest.mark.parametrize("found_by", ["GET", "FIND"])
def test_a_convolution_without_room_for_its_workspace(monkeypatch: pytest.MonkeyPatch, found_by: str) -> None:
    """cuDNN's search passes over what there is no memory for and ends with these words, as it does on a card that it cannot serve."""
    error = RuntimeError(f"{found_by} was unable to find an engine to execute this computation")
    assert not is_out_of_memory(error)
    refused = [0, 0]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(refused))
    monkeypatch.setattr(torch.cuda, "memory_stats", lambda index: {"num_ooms": refused[index]})
    assert not is_out_of_memory(error)
    refused[1] = 3
    assert is_out_of_memory(error)
    assert not is_out_of_memory(RuntimeError("CUDA error: an illegal memory access was encountered"))


def test_a_cpus_own_out_of_memory_is_recognised() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


def test_the_weights_of_classes_in_the_loss_go_by_name() -> None:
    stage = small.with_recipe(small.stage(), loss_weights={"b c": 3.0})
    build = {"exclusive": False, "precision": "fp32"}
    named = build_learner(stage, small.CPU, classes=small.OVERLAPPING.classes, **build)  # type: ignore[arg-type]
    assert named.loss.weights is not None
    assert named.loss.weights.tolist() == [1, 3]
    unnamed = build_learner(stage, small.CPU, **build).loss.weights  # type: ignore[arg-type]
    assert unnamed is not None
    assert unnamed.tolist() == [1, 1]
    assert learner().loss.weights is None
