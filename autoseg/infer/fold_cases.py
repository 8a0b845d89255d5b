"""Which cases a fold was trained on, as a checksum; loads no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from autoseg.errors import FileFormatError
from autoseg.io.json_files import read_plain_json
from autoseg.workspace import RUN_RECORD


def cases_digest(train: Iterable[str], val: Iterable[str]) -> str:
    """Checksum of the cases that a fold trains on and is validated on; `cases` of its run.json."""
    return hashlib.sha256("\n".join([*sorted(train), "", *sorted(val)]).encode()).hexdigest()[:16]


def trained_on(folder: Path) -> tuple[str, str]:
    """The checksums of the data set and of the cases that a fold was trained on, by its run.json; empty where that does not tell."""
    try:
        record = read_plain_json(folder / RUN_RECORD)
    except FileFormatError:
        record = None
    record = record if isinstance(record, dict) else {}
    return str(record.get("fingerprint", "")), str(record.get("cases", ""))
