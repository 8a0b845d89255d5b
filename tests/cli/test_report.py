"""autoseg report, and the report behind a training and a prediction."""

from pathlib import Path

import pytest

from autoseg.cli import report
from tests.cli.conftest import Autoseg
from tests.report.make import make_raw, make_workspace


def test_report(tmp_path: Path, autoseg: Autoseg) -> None:
    make_workspace(tmp_path)
    done = autoseg("report", "-d", "Evil", "-w", tmp_path, "--pictures", "3", "--workers", "1")
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1].endswith("4 cases, 3 of them with pictures, the worst first)")
    assert (tmp_path / "results/Evil/report.html").is_file()


def test_to_another_file_and_without_the_raw_data(tmp_path: Path, autoseg: Autoseg) -> None:
    make_workspace(tmp_path)
    (tmp_path / "raw/Evil").rename(tmp_path / "elsewhere")
    done = autoseg("report", "-d", "Evil", "-w", tmp_path, "-o", tmp_path / "a/b.html")
    assert done.code == 0, done.err
    assert (tmp_path / "a/b.html").is_file()
    assert not (tmp_path / "results/Evil/report.html").exists()


def test_nothing_to_report(tmp_path: Path, autoseg: Autoseg) -> None:
    make_raw(tmp_path / "raw/left hand")
    done = autoseg("report", "-w", tmp_path)
    assert done.code == 2
    assert f"nothing to report: autoseg plan_and_preprocess -d 'left hand' -w {tmp_path}." in done.err
    assert not (tmp_path / "results").exists()


def test_a_report_that_fails_is_said_and_fails_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = make_workspace(tmp_path)

    def fail(*arguments: object, **options: object) -> None:
        raise RuntimeError("no room\nat all")

    monkeypatch.setattr(report, "make", fail)
    report.make_after(place, place.raw / "Evil")
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"The report could not be made: no room (autoseg report -d Evil -w {tmp_path} tries again)\n")
