"""What plan_and_preprocess plans for: the GPU of this machine, another one, or the processor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from autoseg.errors import UsageError

if TYPE_CHECKING:
    import torch

    from autoseg.budget import Budget

GIB = 1024**3


def choose_budget(gpu: str | None, gpu_memory: float | None, hours: float | None) -> Budget:
    """The budget that --gpu and --gpu-memory mean."""
    from autoseg.budget import DEFAULT_GPU, memory_budget, named_gpu
    from autoseg.fingerprint.hardware import cpu_budget, gpu_budget, smallest_gpu

    if gpu is not None and gpu_memory is not None:
        raise UsageError("--gpu and --gpu-memory exclude each other; give one of them.")
    if gpu_memory is not None:
        return memory_budget(gpu_memory, hours=hours)
    if gpu is None:
        found = smallest_gpu()
        if found is not None:
            index, at_hand = found
            click.echo(f"Planning for this machine's GPU: {at_hand.name}, {at_hand.memory_bytes / GIB:.1f} GiB")
            check_at_hand(index, hours)
            return gpu_budget(at_hand, hours)
        say_no_gpu(DEFAULT_GPU)
        return named_gpu(DEFAULT_GPU, hours=hours)
    return cpu_budget(hours) if gpu.lower() == "cpu" else named_gpu(gpu, hours=hours)


def check_at_hand(index: int, hours: float | None) -> None:
    """Say at once if this machine's GPU cannot be used; DeviceError if steps are to be timed on it."""
    import torch

    from autoseg.errors import DeviceError
    from autoseg.infer.devices import check_cuda

    try:
        check_cuda(torch.device("cuda", index))
    except DeviceError as error:
        if hours is not None:
            raise
        click.echo(f"  Warning: the plan is made, but this GPU cannot train it: {error}")


def say_no_gpu(planned: str) -> None:
    """What is planned for instead, and why torch finds no GPU if there may be one."""
    from autoseg.infer.devices import is_gpu_unseen, why_no_gpu

    here = "No GPU here"
    if is_gpu_unseen():
        click.echo(f"  Warning: {why_no_gpu()}.")
        here = "No GPU that torch can use"
    click.echo(f"{here}: planning for {planned}. --gpu cpu plans for this machine's processor instead.")


def shipped_budget(name: str, *given: object) -> Budget:
    """The budget of a plan that comes with autoseg; UsageError if another one, or configurations, were asked for."""
    from autoseg.experiment_plans import load_plan as load_shipped

    budget = load_shipped(name).budget
    if any(value is not None for value in given):
        raise UsageError(
            f"--plan {name} comes with autoseg and was made for {budget.name}: leave out --gpu, --gpu-memory, --hours and --configs, "
            "or give your plan another name. (train has --hours too.)"
        )
    click.echo(f"Plan {name} comes with autoseg: for {budget.name}, {budget.memory_bytes / GIB:.1f} GiB")
    return budget


def device_at_hand(budget: Budget) -> torch.device | None:
    """The device that a budget stands for, if it is in this machine: the processor, or the GPU that the budget was taken from.

    Raises
    ------
    DeviceError
        If it is that GPU, and this build of torch cannot use it.
    """
    import torch

    from autoseg.fingerprint.hardware import smallest_gpu
    from autoseg.infer.devices import check_cuda

    if budget.kind == "cpu":
        return torch.device("cpu")
    found = smallest_gpu()
    if found is None or found[1].name != budget.name:
        return None
    device = torch.device("cuda", found[0])
    check_cuda(device)
    return device
