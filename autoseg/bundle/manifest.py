"""bundle.json: what an exported model consists of, with the size and the checksum of each of its files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar, Literal

from autoseg.errors import FileFormatError
from autoseg.io.json_files import from_json

FORMAT = "autoseg-bundle-1"
MANIFEST = "bundle.json"
METRICS = "metrics.json"
CONFIDENCE = "confidence.json"
SELECTION = "selection.json"
#: A cascade has two stages; a selection rarely has more than five members.
MAX_MODELS = 64
MAX_JSON_BYTES = 2**24

Weights = Literal["safetensors", "onnx"]

#: Names of files in a bundle: plain words, one folder deep at most. No drive, no "..", nothing hidden, no link can be meant by one.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)?")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FOLD = re.compile(r"[0-9]{1,3}|all")


@dataclass(frozen=True, kw_only=True)
class FileFacts:
    """What a file of the bundle must be: its size and its SHA-256, hexadecimal."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    bytes: int
    sha256: str

    def __post_init__(self) -> None:
        if self.bytes < 0 or not _SHA256.fullmatch(self.sha256):
            raise ValueError(f"a file needs a size and a SHA-256 of 64 digits, got {self.bytes} and {self.sha256[:80]!r}")


@dataclass(frozen=True, kw_only=True)
class BundledModel:
    """The nets of one stage.

    Parameters
    ----------
    stage : str
        The configuration, a key of the plan's stages.
    run : str
        PLAN/CONFIG-TRAINER, where they were trained.
    plan : str
        File of the plan.
    nets : dict of str -> str
        Fold -> file of its net.
    checkpoints : dict of str -> str
        Fold -> SHA-256 of the checkpoint that the net was taken from.
    total : int
        Folds that there would be if all were finished.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    stage: str
    run: str
    plan: str
    nets: dict[str, str]
    checkpoints: dict[str, str]
    total: int

    def __post_init__(self) -> None:
        if not self.nets or self.nets.keys() != self.checkpoints.keys() or not all(map(_FOLD.fullmatch, self.nets)):
            raise ValueError(f"{self.stage}: nets and checkpoints must name the same folds, at least one, got {sorted(self.nets)[:9]}")
        if not all(map(_SHA256.fullmatch, self.checkpoints.values())):
            raise ValueError(f"{self.stage}: checkpoints must be SHA-256 checksums")


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What is in a bundle.

    Parameters
    ----------
    format : str
        `FORMAT`.
    made_by : str
        Version of autoseg.
    dataset : str
        Name of the data set that it was trained on.
    weights : {"safetensors", "onnx"}
    models : tuple of BundledModel
        The first stage of a cascade before the second, which takes the one just before it. Of a selection its members one after the other.
    files : dict of str -> FileFacts
        Every file of the bundle but this one.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    format: str
    made_by: str
    dataset: str
    weights: Weights
    models: tuple[BundledModel, ...]
    files: dict[str, FileFacts]

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise ValueError(f"format must be {FORMAT}, got {self.format[:80]!r}")
        if not 1 <= len(self.models) <= MAX_MODELS:
            raise ValueError(f"models must be 1 to {MAX_MODELS}, got {len(self.models)}")
        if wrong := [name for name in self.files if not is_plain_name(name)]:
            raise ValueError(f"files may not be named {wrong[0][:80]!r}: letters, digits, . _ - and one folder at most")
        named = {file for model in self.models for file in (model.plan, *model.nets.values())}
        if missing := named - self.files.keys():
            raise ValueError(f"{min(missing)[:80]!r} is not among the files")

    @property
    def last(self) -> BundledModel:
        """The model that gives the result, where there is no selection of several."""
        return self.models[-1]


def is_plain_name(name: str) -> bool:
    """True for a name that a file of a bundle may have.

    Examples
    --------
    >>> [is_plain_name(name) for name in ("2d/fold0.safetensors", "../x", "/x", "a/b/c", "C:x", "a\\\\b", ".x", "2d/")]
    [True, False, False, False, False, False, False, False]
    """
    return _NAME.fullmatch(name) is not None


def parse_manifest(data: bytes, source: str) -> Manifest:
    """Read bundle.json; FileFormatError names `source` and each field that is wrong."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise FileFormatError(f"{source} is no bundle of autoseg: its {MANIFEST} is no text") from None
    return from_json(text, Manifest, source=f"{MANIFEST} in {source}")
