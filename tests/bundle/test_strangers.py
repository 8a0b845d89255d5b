"""A bundle from a stranger: nothing is written to the disk, no memory is spent on what it only claims, its plan is looked at."""

import io
import json
import stat
import struct
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autoseg.bundle.archive import open_archive
from autoseg.bundle.manifest import MANIFEST
from autoseg.bundle.weights import encode_weights
from autoseg.bundle.write import write_bundle
from autoseg.errors import AutosegError, DataError, FileFormatError
from autoseg.nets import build_unet
from autoseg.predictor import Predictor
from tests.bundle.make import Contents, chosen, contents, edit_json, pack, plant_cascade, zipped
from tests.infer.plans import OVERLAPPING, plant_run, tiny_plan

WEIGHTS = "2d/fold0.safetensors"
PLAN = "2d/plan.json"
LARGEST = 2**22  # bytes that a refusal may take: a list of files, a plan, an error's text


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Contents:
    folder = tmp_path_factory.mktemp("whole")
    write_bundle(folder / "a.zip", chosen(plant_run(folder / "Tiny", tiny_plan(OVERLAPPING), "0")))
    return contents(folder / "a.zip")


@pytest.fixture
def _watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Runs in a folder of its own; afterwards nothing new lies in or around it, and little memory was taken."""
    place = tmp_path / "here/deeper"
    place.mkdir(parents=True)
    monkeypatch.chdir(place)
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < LARGEST
    assert {path.name for path in tmp_path.rglob("*")} <= {"here", "deeper", "a.zip"}


def refused(data: bytes, match: str) -> str:
    path = Path("a.zip")
    path.write_bytes(data)
    tracemalloc.reset_peak()
    with pytest.raises(FileFormatError, match=match) as caught:
        Predictor.load(path, device="cpu")
    assert "a.zip" in str(caught.value)
    return str(caught.value)


LINK, FOLDER = (stat.S_IFLNK | 0o777) << 16, (stat.S_IFDIR | 0o755) << 16


@pytest.mark.usefixtures("_watched")
@pytest.mark.parametrize(
    ("options", "match"),
    [
        *(({"filename": name}, "no plain name") for name in ("../evil", "/etc/evil", "a/../../evil", "C:evil", "..\\evil", "a/b/c", ".x")),
        ({"filename": "d/"}, "no plain name"),
        ({"external_attr": LINK}, "link"),
        ({"external_attr": FOLDER}, "no plain file"),
        ({"compress_type": zipfile.ZIP_DEFLATED}, "compressed"),
        ({"compress_type": zipfile.ZIP_LZMA}, "compressed"),
        ({}, "holds no bundle.json"),
    ],
)
def test_members_that_lead_elsewhere(options: dict[str, Any], match: str) -> None:
    refused(zipped(**options), match)


def patched(data: bytes, change: Callable[[bytearray, int], None]) -> bytes:
    """The zip file with its first central directory entry changed."""
    copy = bytearray(data)
    change(copy, data.index(b"PK\1\2"))
    return bytes(copy)


def claim(size: int) -> Callable[[bytearray, int], None]:
    def change(data: bytearray, at: int) -> None:
        struct.pack_into("<LL", data, at + 20, size, size)

    return change


@pytest.mark.usefixtures("_watched")
def test_sizes_that_are_only_claimed() -> None:
    refused(patched(zipped(), claim(0xFFFFFFF0)), "said to hold")
    encrypted = patched(zipped(), lambda data, at: struct.pack_into("<H", data, at + 8, 1))
    refused(encrypted, "encrypted")


@pytest.mark.usefixtures("_watched")
def test_a_list_of_a_million_files_is_not_read() -> None:
    end = zipped()[-22:]
    refused(zipped()[:-22] + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 60000, 60000, 2**28, 0, 0), "lists 60000 files")
    # Beyond 4 GiB the numbers stand in a second record, which counts then.
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 10**6, 10**6, 10**8, 0)
    front = zipped()[:-22]
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(front), 1)
    refused(front + record + locator + end, "lists 1000000 files")
    refused(front + record + struct.pack("<4sLQL", b"PK\6\7", 0, 5, 1) + end, "contradicts itself")


@pytest.mark.usefixtures("_watched")
def test_overlapping_members_gain_nothing(whole: Contents) -> None:
    """A zip bomb without compression: many entries of the list that mean the same bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a", b"0" * 100_000)
        info = archive.infolist()[0]
        for k in range(20):
            twin = zipfile.ZipInfo(f"b{k}")
            twin.file_size = twin.compress_size = info.file_size
            twin.header_offset, twin.CRC = info.header_offset, info.CRC
            archive.filelist.append(twin)
            archive.NameToInfo[twin.filename] = twin
    refused(stream.getvalue(), "said to hold")


@pytest.mark.usefixtures("_watched")
@pytest.mark.parametrize(
    ("data", "match"), [(b"", "cut short"), (b"PK", "cut short"), (b"\0" * 100, "cut short"), (zipped()[:-1], "cut short")]
)
def test_no_zip_at_all(data: bytes, match: str) -> None:
    refused(data, match)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"nothing\.zip cannot be read: No such file"), open_archive(tmp_path / "nothing.zip"):
        pass


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda files: files.pop(WEIGHTS), "fold0.safetensors is missing"),
        (lambda files: files.update({"more.txt": b""}), "does not name"),
        (lambda files: files.update({PLAN: files[PLAN] + b" "}), "plan.json has"),
        (lambda files: files.update({PLAN: files[PLAN].replace(b"Tiny", b"Tony")}), "checksum of 2d/plan.json"),
        (lambda files: files.update({WEIGHTS: files[WEIGHTS][:-1] + b"?"}), "checksum of 2d/fold0.safetensors"),
        (lambda files: files.update({MANIFEST: b"{}"}), "is missing"),
        (lambda files: files.update({MANIFEST: b"\xff"}), "is no text"),
        (lambda files: files.update({MANIFEST: b"[" * 100_000}), "bundle.json"),
    ],
)
def test_what_was_altered_is_named(whole: Contents, tmp_path: Path, change: Callable[[Contents], object], match: str) -> None:
    files = dict(whole)
    change(files)
    with pytest.raises(FileFormatError, match=match):
        Predictor.load(pack(tmp_path / "a.zip", files, facts=False), device="cpu")


def manifest_with(**changes: object) -> Callable[[dict[str, Any]], object]:
    return lambda manifest: (
        manifest["models"][0].update(changes) if changes.keys() <= manifest["models"][0].keys() else manifest.update(changes)
    )


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (manifest_with(format="autoseg-bundle-9"), "format must be autoseg-bundle-1"),
        (manifest_with(models=[]), "models must be 1 to"),
        (manifest_with(weights="pickle"), "safetensors"),
        (manifest_with(weights="onnx"), "read from a folder"),
        (manifest_with(plan="../plan.json"), "not among the files"),
        (manifest_with(nets={"0": "../../x"}), "not among the files"),
        (manifest_with(nets={}), "at least one"),
        (manifest_with(nets={"../0": WEIGHTS}, checkpoints={"../0": "0" * 64}), "folds"),
        (manifest_with(checkpoints={"0": "../"}), "SHA-256"),
        (manifest_with(stage="3d"), "has no stage '3d'"),
        (manifest_with(surprise=1), "unknown key"),
    ],
)
def test_manifests_that_do_not_fit(whole: Contents, tmp_path: Path, change: Callable[[dict[str, Any]], object], match: str) -> None:
    with pytest.raises(FileFormatError, match=match):
        Predictor.load(pack(tmp_path / "a.zip", edit_json(whole, MANIFEST, change)), device="cpu")


def in_stage(**changes: object) -> Callable[[dict[str, Any]], object]:
    return lambda plan: plan["stages"]["2d"].update(changes)


def in_network(**changes: object) -> Callable[[dict[str, Any]], object]:
    return lambda plan: plan["stages"]["2d"]["network"].update(changes)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (in_network(features=[4, 2**40]), "must lie in 1 to"),
        (in_network(features=[4, 0]), "must lie in 1 to"),
        (in_network(features=[2**14, 2**14]), "whose net has"),
        (in_network(convs=10**9), "convolutions"),
        (in_network(decoder_convs=10**9), "convolutions"),
        (in_network(decoder_convs=0), "decoder_convs must be at least 1"),
        (in_network(features=[4] * 20, strides=[[1, 1]] * 20, kernels=[[3, 3]] * 20), "at most 16 stages"),
        (in_network(strides=[[1, 1], [0, 2]]), "plan.json"),
        (in_network(strides=[[1, 1], [-2, 2]]), "strides"),
        (in_network(kernels=[[3, 3], [10**6 + 1, 3]]), "kernels: must be odd, 1 to"),
        (in_network(kernels=[[3, 3], [3]]), "one entry per axis"),
        (in_network(num_heads=7), "num_heads must be 2"),
        (in_stage(patch=[2**20, 2**20]), "patch: must be positive, with at most"),
        (in_stage(patch=[-16, -16]), "patch: must be positive"),
        (in_stage(spacing=[0, 1]), "spacing: must lie in"),
        (in_stage(spacing=[1e-300, 1]), "spacing: must lie in"),
        (in_stage(spacing=[1e400, 1]), "plan.json"),
        (in_stage(mirror_axes=[5]), "mirror_axes"),
        (in_stage(mirror_swap=[0, 9]), "mirror_swap"),
        (in_stage(slice_axis=1), "do not go together"),
        (in_stage(previous="2d"), "previous must be another stage"),
        (lambda plan: plan.update(version=99), "version 99"),
        (lambda plan: plan.update(version=1), "version 1"),
        (lambda plan: plan.update(num_axes=7), "do not go together"),
        (lambda plan: plan.update(code="__import__('os')"), "unknown key"),
        (lambda plan: plan["labels"].update(classes=["a", "x" * 300]), "labels.classes"),
        (lambda plan: plan["normalization"][0].update(std=0), "std above 0"),
        (lambda plan: plan["normalization"][0].update(mean=None), "ct needs"),
    ],
)
def test_plans_that_nothing_can_be_built_of(
    whole: Contents, tmp_path: Path, change: Callable[[dict[str, Any]], object], match: str
) -> None:
    with pytest.raises(FileFormatError, match=match):
        Predictor.load(pack(tmp_path / "a.zip", edit_json(whole, PLAN, change)), device="cpu")


def test_an_image_that_a_plan_would_blow_up(whole: Contents, tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", edit_json(whole, PLAN, in_stage(resample=True, spacing=[1e-6, 1e-6])))
    predictor = Predictor.load(path, device="cpu")
    with pytest.raises(DataError, match=r"2e\+10 x 2e\+10 pixels at the plan's 1e-06 x 1e-06: .* GiB of memory are free"):
        predictor(np.zeros((20, 20), np.uint8), (1000.0, 1000.0))


def test_class_names_stay_in_the_output_folder(whole: Contents, tmp_path: Path) -> None:
    """A class may have any name; its files are escaped."""
    from autoseg.case import Case
    from tests.infer.plans import images

    path = pack(tmp_path / "a.zip", edit_json(whole, PLAN, lambda plan: plan["labels"].update(classes=["../../up", "/root"])))
    (case,) = images(tmp_path / "in", "a")
    assert isinstance(case, Case)
    assert Predictor.load(path, device="cpu").predict_files([case], tmp_path / "out/put").failures == {}
    assert {file.name for file in (tmp_path / "out/put/a").iterdir()} == {"%2E.%2F..%2Fup.png", "%2Froot.png"}
    assert {file.name for file in tmp_path.iterdir()} == {"a.zip", "in", "out"}


def header(tensors: dict[str, Any], data: bytes = b"") -> bytes:
    text = json.dumps(tensors).encode()
    return len(text).to_bytes(8, "little") + text + data


def tiny_net() -> dict[str, torch.Tensor]:
    return dict(build_unet(tiny_plan(OVERLAPPING).stages["2d"].network).state_dict())


def padded(data: bytes, size: int) -> bytes:
    return data + b"\0" * (size - len(data))


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda good: (2**63).to_bytes(8, "little") + good[8:], "header is said to have"),
        (lambda good: (len(good)).to_bytes(8, "little") + good[8:], "header is said to have"),
        (lambda good: padded(header({}), len(good)), "does not fit its plan"),
        (lambda good: padded(b"\x02" + b"\0" * 7 + b"[]", len(good)), "no list of tensors"),
        (lambda good: padded(b"\x02" + b"\0" * 7 + b"\xff\xff", len(good)), "no list of tensors"),
        (lambda good: good[:100], "does not fit its plan"),
        (lambda good: good + b"\0" * 2**21, "does not fit its plan"),
        (lambda good: good.replace(b"F32", b"F16"), "does not fit its plan"),
        (lambda good: good.replace(b"[0,", b"[4,", 1), "damaged"),
        (lambda good: encode_weights({**tiny_net(), "encoder.0.0.conv.bias": torch.full((4,), torch.nan)}), "NaN"),
        (lambda good: encode_weights({**tiny_net(), "more": torch.zeros(1)}), "'more' is"),
    ],
)
def test_weights_that_are_not_the_plans(whole: Contents, tmp_path: Path, make: Callable[[bytes], bytes], match: str) -> None:
    with pytest.raises(FileFormatError, match=match):
        Predictor.load(pack(tmp_path / "a.zip", {**whole, WEIGHTS: make(whole[WEIGHTS])}), device="cpu")


def test_stages_that_do_not_belong_together(tmp_path: Path) -> None:
    write_bundle(tmp_path / "a.zip", chosen(plant_cascade(tmp_path / "Tiny", "0")))
    alone = edit_json(contents(tmp_path / "a.zip"), MANIFEST, lambda manifest: manifest["models"].pop(0))
    with pytest.raises(FileFormatError, match="2d_cascade needs the stage 2d before it"):
        Predictor.load(pack(tmp_path / "b.zip", alone), device="cpu")
    renamed = edit_json(contents(tmp_path / "a.zip"), PLAN, lambda plan: plan["labels"].update(classes=["x", "y"]))
    with pytest.raises(FileFormatError, match="other classes"):
        Predictor.load(pack(tmp_path / "b.zip", renamed), device="cpu")


@given(place=st.integers(0, 10**6), byte=st.integers(0, 255), cut=st.booleans())
def test_any_damage_is_an_error_of_autosegs_own(
    whole: Contents, tmp_path_factory: pytest.TempPathFactory, place: int, byte: int, cut: bool
) -> None:
    """Every byte counts: one that is changed, or all behind it missing, gives a message and no other exception."""
    path = pack(tmp_path_factory.mktemp("damage") / "a.zip", whole)
    data = path.read_bytes()
    place %= len(data)
    damaged = data[:place] if cut else data[:place] + bytes([byte]) + data[place + 1 :]
    path.write_bytes(damaged)
    try:
        Predictor.load(path, device="cpu")
    except AutosegError:
        return
    # A zip file says some things twice; what is read is what was written all the same, by its checksums.
    assert damaged == data or contents(path) == contents(pack(path.with_name("b.zip"), whole))
