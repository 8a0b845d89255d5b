"""Progress for people: a bar on a terminal, now and then a plain line elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Self

import click
from tqdm import tqdm

#: Seconds between two plain lines.
LINE_EVERY_S = 15.0
UNITS = ("bytes", "KB", "MB", "GB", "TB")


def duration(seconds: float) -> str:
    """Seconds as a person says them.

    >>> duration(42), duration(200), duration(7300)
    ('42 s', '3 min 20 s', '2 h 01 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def size(num_bytes: float) -> str:
    """Bytes as a person says them.

    >>> size(700), size(35_400), size(2_100_000), size(7.8e10)
    ('700 bytes', '35 KB', '2.1 MB', '78 GB')
    """
    if num_bytes < 1000:
        return f"{num_bytes:.0f} bytes"
    unit = 0
    while num_bytes >= 999.5 and unit < 4:
        num_bytes, unit = num_bytes / 1000, unit + 1
    return f"{num_bytes:.1f} {UNITS[unit]}" if num_bytes < 10 else f"{num_bytes:.0f} {UNITS[unit]}"


def count(number: int, noun: str) -> str:
    """A number of things.

    >>> count(1, "image"), count(0, "image"), count(12_000, "case")
    ('1 image', '0 images', '12,000 cases')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


class Bar:
    """Progress of `total` things.

    Parameters
    ----------
    what : str
        Such as "Measuring".
    unit : str
        One of them, such as "case".
    """

    def __init__(self, what: str, unit: str) -> None:
        self.what, self.unit = what, unit
        self._bar: tqdm[Any] | None = None
        self._begun = self._said = time.monotonic()
        self._last: tuple[int, int] = (0, 0)

    def __call__(self, done: int, total: int) -> None:
        """Show that `done` of `total` are finished."""
        self._last = (done, total)
        if sys.stderr.isatty():
            if self._bar is None:
                self._bar = tqdm(total=total, desc=self.what, unit=self.unit, dynamic_ncols=True)
            self._bar.update(done - self._bar.n)
        elif time.monotonic() - self._said > LINE_EVERY_S and done < total:
            self._said = time.monotonic()
            left = (self._said - self._begun) / done * (total - done)
            click.echo(f"  {self.what}: {done} of {total}, {duration(left)} left")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.close()
        if kind is None and self._last[1]:
            click.echo(f"  {self.what}: {count(self._last[0], self.unit)} in {duration(time.monotonic() - self._begun)}")
