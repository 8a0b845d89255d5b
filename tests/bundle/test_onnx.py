"""ONNX files give what torch gives, at sizes and batches they were not exported at; a folder of them predicts as the run does."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from autoseg.bundle import onnx_folder as module
from autoseg.bundle.onnx_export import TOLERANCE, check_export, export_net
from autoseg.bundle.onnx_folder import is_current, load_onnx, onnx_folder, write_onnx
from autoseg.bundle.onnx_net import OnnxNet, needs
from autoseg.errors import FileFormatError, UsageError
from autoseg.nets import UNet, build_unet
from autoseg.nets.norm import InstanceNorm
from autoseg.plan import Network
from autoseg.predictor import Predictor
from tests.bundle.make import chosen, plant_cascade
from tests.infer.plans import OVERLAPPING, plant_run, tiny_plan

CPU = torch.device("cpu")
IMAGE = np.random.default_rng(0).integers(0, 255, (21, 40)).astype(np.uint8)


def moved(network: Network) -> UNet:
    """A net whose norms scale and shift: fresh ones do neither."""
    torch.manual_seed(0)
    net = build_unet(network).eval().requires_grad_(False)
    for part in net.modules():
        if isinstance(part, InstanceNorm):
            part.weight.uniform_(0.5, 2)
            part.bias.uniform_(-1, 1)
    return net


def compare(network: Network, *shapes: tuple[int, ...]) -> None:
    net = moved(network)
    data = export_net(net, network.in_channels, network.multiple)
    assert check_export(data, net, network.in_channels, network.multiple) < TOLERANCE
    other = OnnxNet(data, CPU)
    for shape in shapes:
        image = torch.randn(shape[0], network.in_channels, *shape[1:]) * 5 + 3
        with torch.inference_mode():
            expected = net(image)[0]
        torch.testing.assert_close(other(image)[0], expected, rtol=TOLERANCE, atol=TOLERANCE)
    assert [net.training, *(part.per_sample for part in net.modules() if isinstance(part, InstanceNorm))] == [False, *[True] * 5]


def test_equal_to_torch_at_any_size_and_batch() -> None:
    network = Network(
        in_channels=3, num_heads=4, features=(4, 8, 8), strides=((1, 1), (2, 2), (2, 1)), kernels=((3, 3), (3, 3), (1, 3)), convs=1
    )
    assert network.multiple == (4, 2)
    compare(network, (1, 4, 2), (3, 36, 10), (2, 64, 64))


@pytest.mark.slow
def test_volumes() -> None:
    network = Network(
        in_channels=1, num_heads=2, features=(4, 8, 8), strides=((1, 1, 1), (1, 2, 2), (2, 2, 2)), kernels=((1, 3, 3),) * 3, convs=1
    )
    compare(network, (1, 2, 4, 4), (2, 6, 20, 12))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plant_run(tmp_path_factory.mktemp("onnx") / "Tiny", tiny_plan(OVERLAPPING), "0")


@pytest.fixture(scope="module")
def folder(run: Path) -> Path:
    """Exported by asking for the engine."""
    Predictor.load(run, device="cpu", engine="onnx")
    return onnx_folder(chosen(run))


def test_a_run_predicts_by_onnxruntime(run: Path, folder: Path) -> None:
    assert is_current(folder, chosen(run))
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.onnx")}
    found, expected = (Predictor.load(run, device="cpu", engine=engine) for engine in ("onnx", "torch"))
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.onnx")} == before  # not exported again
    a, b = (p.segment(IMAGE, probabilities=True).probabilities for p in (found, expected))
    assert a is not None
    assert b is not None
    assert np.abs(a.astype(int) - b).max() <= 1
    assert (found.record().engine, expected.record().engine) == ("onnx", "torch")
    assert (found.origin, found.model.window.precision) == (expected.origin, "fp32")


def test_the_folder_predicts_alone(run: Path, folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "model"
    folder.rename(copy)
    try:
        masks = Predictor.load(copy, device="cpu")(IMAGE)
    finally:
        copy.rename(folder)
    expected = Predictor.load(run, device="cpu", engine="onnx")(IMAGE)
    assert isinstance(masks, dict)
    assert isinstance(expected, dict)
    assert all(np.array_equal(masks[name], expected[name]) for name in OVERLAPPING.classes)


def test_the_file_says_what_it_takes(folder: Path) -> None:
    onnx: Any = needs("onnx")
    (value,) = onnx.load(folder / "2d/fold0.onnx").graph.input
    assert value.name == "image"
    assert [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim] == ["batch", 1, "2*y_blocks", "2*x_blocks"]
    assert json.loads((folder / "2d/plan.json").read_text(encoding="utf-8"))["labels"]["classes"] == list(OVERLAPPING.classes)


def test_a_damaged_file_is_named(folder: Path) -> None:
    file = folder / "2d/fold0.onnx"
    good = file.read_bytes()
    try:
        file.write_bytes(good[:-1] + b"?")
        with pytest.raises(FileFormatError, match=r"fold0\.onnx is damaged or was altered"):
            load_onnx(folder, CPU)
        file.write_bytes(good[:-1])
        with pytest.raises(FileFormatError, match=r"fold0\.onnx has"):
            load_onnx(folder, CPU)
    finally:
        file.write_bytes(good)


def test_a_net_that_differs_is_not_kept(folder: Path) -> None:
    network = tiny_plan(OVERLAPPING).stages["2d"].network
    with pytest.raises(FileFormatError, match=r"differs from torch by .*, more than 0\.001"):
        check_export((folder / "2d/fold0.onnx").read_bytes(), moved(network), 1, network.multiple)


@pytest.mark.parametrize("data", [b"", b"nonsense", b"\x08\x07"])
def test_what_is_no_onnx_file(data: bytes) -> None:
    with pytest.raises(ValueError, match="onnxruntime cannot load it"):
        OnnxNet(data, CPU)


def test_what_is_missing_is_named_with_the_command(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"needs no_such_module, .* pip install 'autoseg\[export\]'"):
        needs("no_such_module")
    with pytest.raises(UsageError, match="onnxruntime-gpu"):
        OnnxNet(b"", torch.device("cuda", 0))


class Session:
    """What onnxruntime makes of "cuda" where CUDA's libraries cannot be loaded: a session on the processor, and no error."""

    def __init__(self, data: bytes, options: object, providers: list[Any]) -> None:
        pass

    def get_providers(self) -> list[str]:
        return ["CPUExecutionProvider"]


def test_a_gpu_that_onnxruntime_lists_and_cannot_use(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    fake = SimpleNamespace(get_available_providers=lambda: listed, SessionOptions=SimpleNamespace, InferenceSession=Session)
    monkeypatch.setitem(sys.modules, "onnxruntime", fake)
    with pytest.raises(UsageError, match=r"could not load the libraries for cuda:1 and would compute on the processor: .* --device cpu"):
        OnnxNet(b"", torch.device("cuda", 1))


def test_a_folder_of_other_things_is_left_alone(run: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty and holds no export"):
        write_onnx(tmp_path, chosen(run))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_each_engine_has_its_files(run: Path, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds nets for onnx, not for torch; `autoseg export`"):
        Predictor.load(folder, device="cpu", engine="torch")


def test_a_cascade_and_what_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exporter is stood in for: which nets are exported, not how."""
    exported: list[int] = []

    def export(net: UNet, channels: int, multiple: object) -> bytes:
        exported.append(channels)
        return bytes([channels])

    monkeypatch.setattr(module, "export_net", export)
    monkeypatch.setattr(module, "check_export", lambda *given: 0.5)
    choice = chosen(plant_cascade(tmp_path / "Tiny", "0", "1"))
    manifest, worst = write_onnx(tmp_path / "out", choice)
    assert (exported, worst) == ([3, 3, 1, 1], 0.5)
    assert [model.stage for model in manifest.models] == ["2d", "2d_cascade"]
    assert is_current(tmp_path / "out", choice)
    write_onnx(tmp_path / "out", choice)
    assert len(exported) == 4
    (tmp_path / "out/2d/fold1.onnx").write_bytes(b"?")
    write_onnx(tmp_path / "out", choice)
    assert exported[4:] == [1]
    write_onnx(tmp_path / "out", choice, overwrite=True)
    assert len(exported) == 9
    write_onnx(tmp_path / "out", chosen(choice.run, "1"))
    assert {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.onnx")} == {
        "2d/fold1.onnx", "2d_cascade/fold1.onnx",
    }  # fmt: skip
    assert not is_current(tmp_path / "out", choice)
