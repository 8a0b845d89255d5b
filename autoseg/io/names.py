"""Class and case names as file names: one rule, readable and reversible.

A name keeps its letters, digits, inner spaces and other scripts. What a file system of Linux, macOS or Windows refuses is written as
the percent sign and two hexadecimal digits for each UTF-8 byte.
"""

from __future__ import annotations

import re

#: Bytes of an escaped name; suffixes and the temporary names of atomic writes fit into the 255 that file systems allow.
MAX_NAME_BYTES = 200

#: Stands for the empty name: a lone percent sign occurs in no other escaped name.
EMPTY = "%"

_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f-\x9f%/\\:*?"<>|\u2028\u2029\ud800-\udfff]|^[ .]|[ .]$')
# Windows opens a device for these, whatever follows the first dot.
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]) *(\.|$)", re.IGNORECASE)
_ESCAPED = re.compile(r"(?:%[0-9A-Fa-f]{2})+")


def escape_name(name: str) -> str:
    """A file name, without suffix, for a free name.

    Raises
    ------
    ValueError
        If it would be longer than 200 bytes: no file system takes it with its suffix, and a shortened name has no way back.

    Examples
    --------
    >>> escape_name("left/right 폐"), escape_name(".x"), escape_name("aux"), escape_name("")
    ('left%2Fright 폐', '%2Ex', '%61ux', '%')
    """
    if not name:
        return EMPTY
    escaped = _FORBIDDEN.sub(lambda match: _percent(match[0]), name)
    if _DEVICE.match(escaped):
        escaped = _percent(escaped[0]) + escaped[1:]
    if len(escaped.encode()) > MAX_NAME_BYTES:
        raise ValueError(f"the name {name[:60]!r}... takes {len(escaped.encode())} bytes as a file name; shorten it to {MAX_NAME_BYTES}")
    return escaped


def unescape_name(escaped: str) -> str:
    """The name that `escape_name` made a file name of.

    A percent sign that begins no escape stands for itself: people write "100%.png" by hand.
    """
    if escaped == EMPTY:
        return ""
    return _ESCAPED.sub(lambda match: _decode(match[0]), escaped)


def _percent(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "surrogatepass"))


def _decode(escapes: str) -> str:
    data = bytes.fromhex(escapes.replace("%", ""))
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return escapes
