"""Writing a bundle: the same nets give the same bytes, and the file is whole or not there."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

from autoseg import __version__
from autoseg.bundle.contents import Progress, collect_all
from autoseg.bundle.manifest import FORMAT, MANIFEST, FileFacts, Manifest
from autoseg.bundle.weights import encode_weights
from autoseg.checkpoint import Checkpoint
from autoseg.infer.folds import Choice
from autoseg.io.atomic import replacing
from autoseg.io.json_files import to_json
from autoseg.select.selection import Selected

#: The first moment that a zip file can name: a bundle does not say when it was made, so that equal ones are equal.
EPOCH = (1980, 1, 1, 0, 0, 0)


def write_bundle(path: Path, source: Choice | Selected, progress: Progress | None = None) -> Manifest:
    """Write the nets of a prediction as one zip file.

    Parameters
    ----------
    path : Path
        Replaced if it is there, once the new one is whole.
    source : Choice or Selected
        A run and its folds, or what `autoseg select` chose of several; of a cascade the nets of the stage before that they were trained
        behind come along.
    progress : callable(done, total), optional
        Of the nets.

    Raises
    ------
    UsageError, FileFormatError
        If a checkpoint is damaged or, of a cascade, missing.
    """
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        writer = _Writer(archive)
        models, dataset = collect_all(source, writer.add, writer.add_net, progress)
        manifest = Manifest(
            format=FORMAT,
            made_by=__version__,
            dataset=dataset,
            weights="safetensors",
            models=models,
            files=dict(sorted(writer.files.items())),
        )
        writer.add(MANIFEST, to_json(manifest).encode())
        return manifest


class _Writer:
    """Stores files and notes their facts."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.archive = archive
        self.files: dict[str, FileFacts] = {}

    def add(self, name: str, data: bytes) -> None:
        info = zipfile.ZipInfo(name, EPOCH)
        info.create_system, info.external_attr = 3, 0o100644 << 16  # the same from every operating system
        self.archive.writestr(info, data)
        self.files[name] = FileFacts(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())

    def add_net(self, stem: str, checkpoint: Checkpoint, checksum: str) -> str:
        self.add(f"{stem}.safetensors", encode_weights(checkpoint.weights))
        return f"{stem}.safetensors"
