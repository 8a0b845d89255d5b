"""Names for patients that say nothing of them: keyed hashes of their identifiers, the key a file of the workspace.

Who has neither the key nor the identifiers learns from such a name only which images are of one patient. Who has the key can try
identifiers that are known from elsewhere: it is therefore readable by its owner alone, and no part of what a workspace gives away.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Iterable
from functools import cached_property
from hashlib import blake2b
from pathlib import Path

from autoseg.errors import FileFormatError
from autoseg.io.atomic import NOT_WRITABLE, write_once

log = logging.getLogger(__name__)

#: Bytes of a salt (a key of blake2b may have 64) and of a hash: among a million patients two share one of 64 bits once in 37 million times.
SALT_BYTES, HASH_BYTES = 32, 8
PSEUDONYM = re.compile(rf"patient [0-9a-f]{{{2 * HASH_BYTES}}}")
#: How often a salt that is not whole is looked at, and the seconds between.
TRIES, TRY_S = 5, 0.1


class Salt:
    """The key of a workspace's hashes; read, or made, when it is first needed.

    Parameters
    ----------
    file : Path or None
        Made with permissions 0600 if it is not there, once for all processes; None: the salt ends with this object.
    keep : bool
        False makes no file: without one, where nothing can be written, and for whom the file may not be read (another user of the
        workspace), the salt ends with this object. Names of patients are then right among themselves, and other ones the next time.
    """

    def __init__(self, file: Path | None = None, *, keep: bool = True) -> None:
        self.file, self._keep = file, keep

    def hashed(self, identifier: str) -> str:
        """A patient's name: "patient" and 16 hex digits of the keyed hash of an identifier."""
        data = identifier.encode("utf-8", "surrogateescape")
        return f"patient {blake2b(data, key=self._bytes, digest_size=HASH_BYTES).hexdigest()}"

    @cached_property
    def _bytes(self) -> bytes:
        """FileFormatError if there is a file and it holds no salt."""
        if self.file is not None and self._keep and not self.file.exists():
            try:
                write_once(self.file, f"{secrets.token_hex(SALT_BYTES)}\n".encode())
            except OSError as error:
                if error.errno not in NOT_WRITABLE:
                    raise
                log.info("%s cannot be written: patients get other names the next time", self.file)
        if self.file is None or not self.file.exists():
            return secrets.token_bytes(SALT_BYTES)
        try:
            salt = _read(self.file)
        except OSError as error:
            if error.errno not in NOT_WRITABLE:
                raise
            log.warning("%s may not be read here: patients get names that hold for this command alone. Ask its owner for access", self.file)
            return secrets.token_bytes(SALT_BYTES)
        if len(salt) != SALT_BYTES:
            raise FileFormatError(
                f"{self.file} is damaged: it is to hold {2 * SALT_BYTES} hex digits, the salt of patients' names. Delete it: another one "
                "is made, patients get other names, and all else stays as it is."
            )
        return salt


def _read(file: Path) -> bytes:
    """What a file holds; empty if it is no hexadecimal text."""
    for attempt in range(TRIES):
        if attempt:
            time.sleep(TRY_S)
        try:
            salt = bytes.fromhex(file.read_text(encoding="ascii"))
        except ValueError:
            salt = b""
        if len(salt) == SALT_BYTES:
            break  # else another process may be writing it, see `write_once`
    return salt


def numbered(groups: Iterable[str | None]) -> list[str | None]:
    """Groups with "patient N", in order of appearance, in place of hashes: the same whatever the salt. Other groups stay as they are.

    Checksums are taken over these. Earlier versions called patients so, which is why theirs still fit.
    """
    numbers: dict[str, str] = {}

    def number(group: str) -> str:
        return numbers.setdefault(group, f"patient {len(numbers) + 1}")

    return [number(group) if group is not None and PSEUDONYM.fullmatch(group) else group for group in groups]
