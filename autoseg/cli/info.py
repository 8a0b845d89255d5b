"""autoseg info"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import click

from autoseg import __version__
from autoseg.cli.options import workspace_option
from autoseg.cli.tables import grid

GIB = 1024**3
NEEDED = (
    "torch", "numpy", "scipy", "SimpleITK", "scikit-image", "batchgenerators", "acvl-utils", "tifffile", "pillow", "blosc2", "safetensors",
    "pydantic",
)  # fmt: skip
#: Packages that only some commands need, and for what.
OPTIONAL = {
    "onnx": "export --onnx",
    "onnxscript": "export --onnx",
    "onnxruntime": "predict --engine onnx",
    "openpyxl": "evaluate --groups FILE.xlsx",
    "tensorboard": "train --track tensorboard",
    "wandb": "train --track wandb",
    "mlflow-skinny": "train --track mlflow",
}
WHY = {
    "bf16": "multiplied in hardware, with the range of fp32: no loss scaling",
    "fp16": "tensor cores; with loss scaling, as there is no bf16",
    "fp32": "nothing narrower in hardware",
}

EPILOG = """\b
Examples:
  autoseg info          to read, and to paste into a question
  autoseg info --json
"""


@click.command(name="info", epilog=EPILOG)
@workspace_option
@click.option("--json", "as_json", is_flag=True, help="Print it for programs.")
def command(workspace: Path, as_json: bool) -> None:
    """Show versions, the devices of this machine, and the precision that nets will be trained in on each."""
    found = gather(workspace)
    if as_json:
        import json

        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    for line in lines(found):
        click.echo(line)


def gather(workspace: Path) -> dict[str, Any]:
    """All of it as plain values; imports torch."""
    import torch

    from autoseg.fingerprint.hardware import count_cores, usable_memory
    from autoseg.io.ram import free_bytes

    return {
        "autoseg": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "packages": {name: _version(name) for name in NEEDED},
        "optional": {name: _version(name) for name in OPTIONAL},
        "cuda": torch.version.cuda,
        "cudnn": _cudnn(),
        "cores": count_cores(),
        "memory_bytes": usable_memory(),
        "free_memory_bytes": free_bytes(),
        "free_disk_bytes": shutil.disk_usage(workspace if workspace.is_dir() else Path()).free,
        "devices": [*_gpus(), _processor()],
    }


def _cudnn() -> int | None:
    from torch.backends import cudnn

    return int(cudnn.version()) if cudnn.is_available() else None  # type: ignore[no-untyped-call]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _gpus() -> Iterator[dict[str, Any]]:
    import torch

    from autoseg.errors import DeviceError
    from autoseg.fingerprint.hardware import gpu_budget, hardware
    from autoseg.infer.devices import check_cuda, note_on_volumes

    for index, gpu in enumerate(hardware().gpus):
        device = torch.device("cuda", index)
        try:
            check_cuda(device)
            problem = ""
        except DeviceError as error:
            problem = str(error)
        precision = gpu_budget(gpu).precision
        yield {
            "device": str(device), "name": gpu.name, "memory_bytes": gpu.memory_bytes,
            "capability": ".".join(map(str, gpu.capability)), "precision": precision, "problem": problem,
            "note": note_on_volumes(3, precision, gpu.capability),
        }  # fmt: skip


def _processor() -> dict[str, Any]:
    from autoseg.fingerprint.hardware import cpu_budget
    from autoseg.infer.devices import is_gpu_unseen, why_no_gpu

    budget = cpu_budget()
    name = platform.processor() or platform.machine()
    why = f"{why_no_gpu()}." if is_gpu_unseen() else ""
    return {"device": "cpu", "name": name, "memory_bytes": budget.memory_bytes, "precision": budget.precision, "problem": "", "note": why}


def lines(found: dict[str, Any]) -> Iterator[str]:
    """What a person reads."""
    yield f"autoseg {found['autoseg']}, Python {found['python']}, {found['system']}"
    cuda = f"CUDA {found['cuda']}, cuDNN {found['cudnn']}" if found["cuda"] else "built without CUDA"
    yield f"torch {found['packages']['torch']}, {cuda}"
    yield "Packages: " + ", ".join(f"{name} {number or 'MISSING'}" for name, number in found["packages"].items() if name != "torch")
    for name, number in found["optional"].items():
        yield f"  {name} {number}" if number else f"  {name}: not installed; only {OPTIONAL[name]} needs it"
    free = found["free_memory_bytes"]
    told = "" if free is None else f", {free / GIB:.1f} GiB free"
    disk = f"{found['free_disk_bytes'] / GIB:.0f} GiB of disk free here"
    yield f"{found['cores']} cores, {found['memory_bytes'] / GIB:.1f} GiB of memory{told}, {disk}"
    yield "Devices, and the precision that nets are trained in"
    rows = []
    for device in found["devices"]:
        capability = f", compute capability {device['capability']}" if "capability" in device else ""
        about = f"{device['name']}, {device['memory_bytes'] / GIB:.1f} GiB{capability}"
        rows.append((f"  {device['device']}", about, device["precision"], WHY[device["precision"]]))
    yield from grid(rows)
    for device in found["devices"]:
        if device["problem"]:
            yield f"{device['device']} cannot be used: {device['problem']}"
        if device["note"]:
            yield f"{device['device']}: {device['note']}"
