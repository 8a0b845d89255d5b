"""Writing a bundle: the same nets give the same bytes, and the file is whole or not there."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path

from autoseg import __version__
from autoseg.bundle.contents import Progress, add_extras, collect_models, count_nets, shared_metrics, shared_selection
from autoseg.bundle.manifest import FORMAT, MANIFEST, METRICS, SELECTION, BundledModel, FileFacts, Manifest
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
        models, dataset = writer.add_all((source,) if isinstance(source, Choice) else source.choices(), progress)
        if isinstance(source, Choice):
            add_extras(source, writer.add)
        else:
            checkpoints = {
                f"{choice.run.parent.name}/{choice.run.name}/{f}": path for choice in source.choices() for f, path in choice.folds.items()
            }
            writer.add(METRICS, to_json(shared_metrics(checkpoints)).encode())
            writer.add(SELECTION, to_json(shared_selection(source.selection)).encode())
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

    def add_all(self, choices: Sequence[Choice], progress: Progress | None) -> tuple[tuple[BundledModel, ...], str]:
        """The nets of each; of several in folders 0-STAGE, 1-STAGE. Gives the models and the data set's name."""
        models: list[BundledModel] = []
        counts, dataset = list(map(count_nets, choices)), ""
        for place, choice in enumerate(choices):
            before = sum(counts[:place])

            def tell(done: int, total: int, before: int = before) -> None:
                if progress is not None:
                    progress(before + done, max(before + total, sum(counts)))

            prefix = "" if len(choices) == 1 else f"{place}-"
            found, dataset = collect_models(choice, self.add, self.add_net, tell, prefix=prefix)
            models += found
        return tuple(models), dataset

    def add(self, name: str, data: bytes) -> None:
        info = zipfile.ZipInfo(name, EPOCH)
        info.create_system, info.external_attr = 3, 0o100644 << 16  # the same from every operating system
        self.archive.writestr(info, data)
        self.files[name] = FileFacts(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())

    def add_net(self, stem: str, checkpoint: Checkpoint, checksum: str) -> str:
        self.add(f"{stem}.safetensors", encode_weights(checkpoint.weights))
        return f"{stem}.safetensors"
