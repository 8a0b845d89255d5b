"""What training and prediction do on a GPU, a little of each: whether it runs, and where a CPU gives the same numbers, whether they are."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import get_args

import numpy as np
import torch
from torch import Tensor, nn

from autoseg.augment import Batch, Intensity, RawSample, make_batch, sample_rng
from autoseg.augment.synthetic import stage_draw, synthetic_sample
from autoseg.budget import Precision
from autoseg.infer.parts import Parts
from autoseg.infer.window import Source, Window, predict_sources
from autoseg.nets import build_net
from autoseg.plan import Stage
from autoseg.recipe import NO_AUGMENTATION, LossName, OptimizerName, with_optimizer
from autoseg.step import Learner, abandon_step, build_learner, is_out_of_memory, place, read_later, split_batch, training_step
from benchmarks.clock import Clock
from benchmarks.devices import Device
from benchmarks.gpu_steps import random_batch
from benchmarks.stages import stage

HEAD = ("check", "of", "result")
#: Edges of pictures and of volumes: of steps, and of augmented patches.
STEP, PATCH = {2: 64, 3: 32}, {2: 256, 3: 64}
TINY_STEP, TINY_PATCH = {2: 8, 3: 8}, {2: 16, 3: 8}
STEPS, MICRO_BATCH = 3, 2
#: What a GPU and a CPU may differ by, and in how many pixels by more: grey levels and codes are rounded, and a few lie on the edge.
ALIKE, FEW = 1e-4, 1e-3
#: Of probabilities; convolutions in fp32 are in TF32 from capability 8.0 on. On a CPU bf16 differs from fp32 by 0.027 here.
ALIKE_PREDICTED: dict[Precision, float] = {"fp32": 0.02, "fp16": 0.02, "bf16": 0.1}
#: All but noise, of which each device has its own, and what happens before a sample comes to the device.
TRANSFORMS = [
    field.name
    for field in fields(NO_AUGMENTATION)
    if field.name.endswith("_p") and field.name not in ("noise_p", "previous_removal_p", "previous_refill_p")
]
#: Optimizers whose kernels learn on the device whether to skip a step.
FUSED: tuple[OptimizerName, ...] = ("sgd", "adam", "adamw")
#: As `trainers.determinism`, which needs more than a bare machine has.
CUBLAS, NO_KERNEL = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8"), "does not have a deterministic implementation"
#: More than any machine has.
TOO_MUCH = 2**50


@dataclass(frozen=True, kw_only=True)
class Check:
    """A row; `run` raises what is wrong, or says what it saw."""

    what: str
    of: str
    run: Callable[[], str]


def rows(device: Device, clock: Clock) -> Iterator[tuple[str, ...]]:
    """A row for each check, all of them whatever fails; RuntimeError at the end if any did."""
    os.environ.setdefault(*CUBLAS)
    failed = 0
    for check in checks(device):
        if not clock.allows_another():
            yield check.what, check.of, "skipped: no time left"
            continue
        try:
            result = f"ok{check.run()}"
        except Exception as error:
            result = f"failed: {type(error).__name__}: {str(error).partition(chr(10))[0][:300]}"
            failed += 1
            device.reset()
        yield check.what, check.of, result
    if failed:
        raise RuntimeError(f"{failed} checks failed")


def checks(device: Device) -> Iterator[Check]:
    """All of them, the most telling first."""
    for precision in device.precisions:
        for optimizer in get_args(OptimizerName):
            yield steps(device, 2, precision, optimizer)
        yield steps(device, 3, precision, "sgd")
    for axes in (2, 3):
        yield augmented(device, axes, "all")
        for transform in TRANSFORMS:
            yield augmented(device, axes, transform)
    for precision in device.precisions:
        yield predicted(device, precision)
    yield out_of_memory(device)
    yield predicted_in_halves(device)
    for optimizer in FUSED:
        yield without_waiting(device, optimizer)
    for axes in (2, 3):
        yield deterministic_augmentation(device, axes)
        for loss in get_args(LossName):
            yield deterministic(device, axes, loss)
        yield deterministic(device, axes, "dice_bce", residual=True)


def small_stage(device: Device, axes: int, *, cascade: bool = False, exclusive: bool = False) -> Stage:
    """Its steps take no time to speak of."""
    edge, classes = (TINY_STEP if device.tiny else STEP)[axes], 2 if device.tiny else 5
    return stage((edge,) * axes, 2, classes=classes, precision=device.precisions[0], cascade=cascade, exclusive=exclusive)


def build(given: Stage, device: Device) -> Learner:
    """A learner with weights that are the same each time."""
    torch.manual_seed(0)
    exclusive = given.network.num_heads > len(given.priors)
    return build_learner(given, device.place, exclusive=exclusive, precision=given.precision)


def steps(device: Device, axes: int, precision: Precision, optimizer: OptimizerName) -> Check:
    """Steps with an optimizer and an average of the weights: loss and weights stay finite, and the weights move."""

    def run() -> str:
        given = small_stage(device, axes)
        recipe = replace(with_optimizer(given.recipe, optimizer), ema=0.9)
        given = replace(given, precision=precision, recipe=recipe)
        learner, batch = build(given, device), random_batch(given, device.place)
        before = [p.detach().clone() for p in learner.net.parameters()]
        losses = [float(training_step(learner, [batch]).loss) for _ in range(STEPS)]
        after = list(learner.net.parameters())
        expect(bool(np.isfinite(losses).all()), f"losses {losses}")
        expect(all(bool(p.isfinite().all()) for p in after), "weights that are not finite")
        # A scaler looks for its scale first, and skips steps until it has found it.
        expect(learner.scaler is not None or any(not torch.equal(a, b) for a, b in zip(before, after, strict=True)), "weights did not move")
        return f", loss {losses[-1]:.4f}"

    return Check(what=f"{STEPS} steps, {axes}D, {precision}", of=optimizer, run=run)


def augmented(device: Device, axes: int, transform: str) -> Check:
    """A sample with a previous stage's channels, augmented on the device and on a CPU."""

    def run() -> str:
        edge = (TINY_PATCH if device.tiny else PATCH)[axes]
        given = stage((edge,) * axes, 1, classes=3, cascade=True)
        given = with_augmentation(given, TRANSFORMS if transform == "all" else [transform])
        samples = [smooth(given, seed) for seed in range(2)]
        here, there = (make_batch(samples, given.patch, device=at, swap=(1, 0, 2)) for at in (torch.device("cpu"), device.place))
        apart = (here.images - there.images.cpu()).abs()
        share = float((apart > ALIKE).float().mean())
        expect(share <= FEW, f"{share:.2%} of the pixels differ by more than {ALIKE}, by up to {float(apart.max()):.3g}")
        moved = float((here.codes != there.codes.cpu()).float().mean())
        expect(moved <= FEW, f"{moved:.2%} of the codes differ")
        return f", {float(apart.max()):.1g} apart"

    return Check(what=f"augmentation, {axes}D", of=transform, run=run)


def with_augmentation(given: Stage, chosen: Sequence[str]) -> Stage:
    """A stage that augments by these transforms alone, each of them always."""
    augmentation = replace(NO_AUGMENTATION, **dict.fromkeys(chosen, 1.0))  # type: ignore[arg-type]
    return replace(given, recipe=replace(given.recipe, augmentation=augmentation))


def smooth(given: Stage, seed: int) -> RawSample:
    """A sample without steep edges, at which the last bit of a position would count."""
    rng = sample_rng(seed, "0", 0, 0)
    sample = synthetic_sample(given, stage_draw(given, rng), rng)
    bands = 127 + 100 * np.sin(np.indices(sample.image.shape).sum(axis=0) / 5)
    intensity = Intensity(mean=(127.0,), std=(74.0,), lower=(30.0,), upper=(225.0,))
    return replace(sample, image=bands.astype(np.uint8), intensity=intensity)


def predicted(device: Device, precision: Precision) -> Check:
    """An image of a few tiles, with flips, on the device and on a CPU."""

    def run() -> str:
        expected = predict(small_stage(device, 2), torch.device("cpu"), "fp32")
        apart = float((predict(small_stage(device, 2), device.place, precision) - expected).abs().max())
        expect(apart <= ALIKE_PREDICTED[precision], f"{apart:.3g} apart")
        return f", {apart:.1g} apart"

    return Check(what="prediction", of=precision, run=run)


class Short(nn.Module):
    """A net that asks for more memory than there is where it is given more than one tile."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, C, ...) -> what the net says."""
        if len(x) > 1:
            torch.empty(TOO_MUCH, dtype=torch.uint8, device=x.device)
        y: list[Tensor] = self.net(x)
        return y


def predicted_in_halves(device: Device) -> Check:
    """The same where memory runs out with more than one tile."""

    def run() -> str:
        expected = predict(small_stage(device, 2), device.place, "fp32")
        apart = float((predict(small_stage(device, 2), device.place, "fp32", Short) - expected).abs().max())
        expect(apart <= ALIKE_PREDICTED["fp32"], f"{apart:.3g} apart")
        return f", {apart:.1g} apart"

    return Check(what="memory runs out", of="prediction", run=run)


def predict(given: Stage, at: torch.device, precision: Precision, wrap: Callable[[nn.Module], nn.Module] = lambda net: net) -> Tensor:
    """Probabilities of a noisy picture of nine tiles."""
    torch.manual_seed(0)
    net = build_net(given.network)
    place(net, at, 2)
    edge = given.patch[0]
    image = np.random.default_rng(0).normal(size=(1, 2 * edge, 2 * edge)).astype(np.float32)
    window = Window(patch=given.patch, exclusive=False, mirror_axes=(0, 1), batch=2, precision=precision, device=at)
    source = Source(image=image, intensity=Intensity.identity(1))
    bands = predict_sources([wrap(net.requires_grad_(False).eval())], [source], window, None, Parts())
    return torch.cat([band.probabilities.cpu().clone() for _, band in bands], dim=1)  # a band's memory is used again


def out_of_memory(device: Device) -> Check:
    """A step that runs out of memory in its second part is recognised, leaves nothing behind, and is made again."""

    def run() -> str:
        given = small_stage(device, 2)
        learner, batch = build(given, device), random_batch(given, device.place)
        calls = 0

        def ask(*arguments: object) -> None:
            nonlocal calls
            calls += 1
            if calls == MICRO_BATCH:
                torch.empty(TOO_MUCH, dtype=torch.uint8, device=device.place)

        handle = learner.net.register_forward_hook(ask)
        try:
            training_step(learner, split_batch(batch, 1))
        except RuntimeError as error:
            expect(is_out_of_memory(error), f"not recognised: {error}")
        else:
            raise RuntimeError("memory did not run out")
        finally:
            handle.remove()
        abandon_step(learner)
        loss = float(training_step(learner, split_batch(batch, 1)).loss)
        expect(bool(np.isfinite(loss)), f"loss {loss}")
        return ""

    return Check(what="memory runs out", of="training", run=run)


def without_waiting(device: Device, optimizer: OptimizerName) -> Check:
    """A batch and a step after which the host has not waited for the device once."""

    def run() -> str:
        given = small_stage(device, 2, cascade=True)
        given = replace(given, recipe=replace(with_optimizer(given.recipe, optimizer), ema=0.9))
        given = with_augmentation(given, [*TRANSFORMS, "noise_p"])
        learner = build(given, device)
        samples = [smooth(given, seed) for seed in range(given.batch)]

        def step() -> None:
            swap = (1, 0, *range(2, len(given.priors)))
            batch: Batch = make_batch(samples, given.patch, device=device.place, swap=swap)
            read_later(training_step(learner, [batch]))

        step()
        device.synchronize()
        with refused_waiting(device):
            step()
        return ""

    return Check(what="a step without waiting", of=optimizer, run=run)


@contextmanager
def refused_waiting(device: Device) -> Iterator[None]:
    """torch raises where the host waits for a GPU; on a CPU nothing happens."""
    if device.place.type != "cuda":
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def deterministic(device: Device, axes: int, loss: str, *, residual: bool = False) -> Check:
    """A step of a loss, twice."""

    def step() -> list[Tensor]:
        given = small_stage(device, axes, exclusive=loss == "dice_ce")
        network = replace(given.network, blocks=(1,) * len(given.network.features)) if residual else given.network
        learner = build(replace(given, network=network, recipe=replace(given.recipe, loss=loss)), device)
        training_step(learner, [random_batch(given, device.place)])
        return [p.detach() for p in learner.net.parameters()]

    return twice(f"deterministic, {axes}D", f"{loss}, residual encoder" if residual else loss, step)


def deterministic_augmentation(device: Device, axes: int) -> Check:
    """A batch with all that is drawn, twice."""

    def batch() -> list[Tensor]:
        given = with_augmentation(small_stage(device, axes, cascade=True), [*TRANSFORMS, "noise_p"])
        made = make_batch([smooth(given, 0)], given.patch, device=device.place)
        return [made.images, made.codes]

    return twice(f"deterministic, {axes}D", "augmentation", batch)


def twice(what: str, of: str, compute: Callable[[], list[Tensor]]) -> Check:
    """In torch's deterministic mode: equal bits both times, or torch's own word that it has no such kernel."""

    def run() -> str:
        torch.use_deterministic_algorithms(True)
        try:
            first, second = compute(), compute()
        except RuntimeError as error:
            if NO_KERNEL not in str(error):
                raise
            return f", but for {str(error).partition(' ')[0]}: torch has no such kernel"
        finally:
            torch.use_deterministic_algorithms(False)
        expect(all(torch.equal(a, b) for a, b in zip(first, second, strict=True)), "other bits the second time")
        return ""

    return Check(what=what, of=of, run=run)


def expect(holds: bool, otherwise: str) -> None:
    """RuntimeError with these words unless something holds."""
    if not holds:
        raise RuntimeError(otherwise)
