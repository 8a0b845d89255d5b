"""What the benchmark of the report writes is a report of what it says."""

from pathlib import Path

from benchmarks.report import prepare, write


def test_two_small_hands(tmp_path: Path) -> None:
    written = write(prepare(tmp_path, size=64, num=2))
    assert (written.num_cases, written.num_pictures) == (2, 2)
    text = written.path.read_text(encoding="utf-8")
    assert text.count('<script type="application/json" id="case-') == 2
    assert "finger-19" in text
