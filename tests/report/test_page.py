"""The page: complete, in one file, and no text of the data set's becomes markup."""

import json
import os
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.evaluate.label_files import LabelCheck
from autoseg.io.json_files import load_json, save_json
from autoseg.report import page, pictures, write_report
from autoseg.report.found import find
from autoseg.report.outcomes import CaseRow, case_rows, stage_rows
from autoseg.workspace import PICTURES, Workspace
from tests import small
from tests.io.make import write_json, write_picture
from tests.report.make import CLASSES, EVIL_CASE, EVIL_CLASS, make_raw, make_workspace, predicted, write_masks


class Page(HTMLParser):
    """Elements, texts and scripts, as a browser sees them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: dict[str, str] = {}
        self._script: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._script = (dict(attrs).get("id") or "code") if tag == "script" else None

    def handle_endtag(self, tag: str) -> None:
        self._script = None

    def handle_data(self, data: str) -> None:
        if self._script is None:
            self.texts.append(data)
        else:
            self.scripts[self._script] = self.scripts.get(self._script, "") + data


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"convs": 2}, "3 stages, features 4 8 12"),
        ({"convs": 2, "decoder_convs": 1}, "3 stages, features 4 8 12, 2 convolutions in each, 1 in the decoder's"),
        ({"convs": 1, "blocks": (1, 2, 2)}, "3 stages, features 4 8 12"),
        ({"convs": 2, "decoder_convs": 1, "kind": "another"}, "3 stages, features 4 8 12"),
    ],
)
def test_another_decoder_is_told_of(changes: dict[str, Any], said: str) -> None:
    assert dict(stage_rows(small.stage(network=small.network(**changes)), None))["net"] == said


def written(place: Workspace, pictures: int = 100) -> str:
    result = write_report(place, "Evil", place.raw / "Evil", place.report_file("Evil"), pictures=pictures)
    assert result.path == place.root / "results/Evil/report.html"
    text = result.path.read_text(encoding="utf-8")
    assert result.num_bytes == len(text.encode())
    return text


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_workspace(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def text(place: Workspace) -> str:
    return written(place)


def test_names_stay_text(text: str) -> None:
    parsed = Page(text)
    assert "img" not in {tag for tag, _ in parsed.tags}
    assert not [attributes for _, attributes in parsed.tags if any(name.startswith("on") for name in attributes)]
    assert parsed.scripts.keys() == {"about", "code", "case-0", "case-1", "case-2", "case-3"}
    assert EVIL_CASE in parsed.texts
    about = json.loads(parsed.scripts["about"])
    assert [one["name"] for one in about["classes"]] == sorted(CLASSES)
    assert about["cases"]["0"]["name"] == EVIL_CASE
    for script in (value for name, value in parsed.scripts.items() if name != "code"):
        assert not {"<", ">", "\u2028"} & set(script)
    for markup in ("<b>nothing", "<i>gain", "<u>moved", "<img ", "</script><script>"):
        assert markup not in text


def test_nothing_is_fetched(text: str) -> None:
    for tag, attributes in Page(text).tags:
        assert tag not in {"link", "iframe", "object", "embed"}
        for name in ("src", "href", "action"):
            value = attributes.get(name)
            assert value is None or value.startswith("#"), (tag, value)
    assert "http://" not in text
    assert "https://" not in text
    assert "default-src 'none'" in text


def test_every_section_is_there(text: str) -> None:
    parsed = Page(text)
    ids = [attributes["id"] for tag, attributes in parsed.tags if tag == "section"]
    assert ids == ["data", "plan", "training", "scores", "cases", "selection", "expected", "labels"]
    linked = {(attributes["href"] or "")[1:] for tag, attributes in parsed.tags if tag == "a"}
    assert linked == set(ids)
    heads = [attributes["aria-label"] for tag, attributes in parsed.tags if tag == "svg" and attributes.get("role") == "img"]
    assert {"Loss", "Dice of held-out cases", "Learning rate", "Seconds per step", "Dice", "Overlap of the classes"} <= set(heads)
    assert "+0.2500 (+0.1250 to +0.3750)" in " ".join(parsed.texts)


def test_the_worst_come_first(place: Workspace) -> None:
    rows = case_rows(find(place, "Evil", place.raw / "Evil"))
    assert [(row.name, row.part) for row in rows] == [
        ("case1", "fold0"), (EVIL_CASE, "fold0"), ("case2", "fold1"), ("case1", "predictions/ensemble"),
    ]  # fmt: skip
    assert [row.dice for row in rows] == [pytest.approx(value) for value in (0.6, 0.85, 0.95)] + [None]
    assert rows[0].nsd == pytest.approx(0.1)  # the mean of what is defined
    assert rows[3].expected == pytest.approx(0.6)
    assert (rows[3].lowest, rows[3].lowest_value) == (CLASSES[0], 0.4)
    assert rows[3].classes == {CLASSES[0]: "0.40 (0.30 – 0.50)", EVIL_CLASS: "0.80 (0.70 – 0.90)"}


def test_a_ranking_by_weak_nets_is_shown_with_its_warning(tmp_path: Path, text: str) -> None:
    assert "weak nets" not in text
    place = make_workspace(tmp_path)
    file = place.run_folder("Evil", "default", "2d", "default") / "label_check.json"
    save_json(file, replace(load_json(file, LabelCheck), weak_classes={EVIL_CLASS: 0.25}))
    said = " ".join(Page(written(place)).texts)
    assert f"below 0.67 in 1 of 2 classes ({EVIL_CLASS} 0.25). Of these the ranking shows the nets' own mistakes" in said


def test_a_copy_of_a_fold_is_not_shown(tmp_path: Path) -> None:
    place = make_workspace(tmp_path)
    fold = place.fold_folder("Evil", "default", "2d", "default", "0")
    shutil.copytree(fold, fold.with_name("fold0_old"))
    shutil.copytree(fold, tmp_path / "results/Evil/default/2d-sgd/fold0_old")
    (run,) = find(place, "Evil", place.raw / "Evil").runs
    assert [known.name for known in run.folds] == ["0", "1"]


def test_as_many_pictures_as_are_asked_for_the_worst_first(place: Workspace) -> None:
    text = written(place, pictures=2)
    parsed = Page(text)
    assert {name for name in parsed.scripts if name.startswith("case-")} == {"case-1", "case-0"}
    assert "2 of 4 cases have pictures, the worst first" in " ".join(" ".join(parsed.texts).split())


def test_pictures_are_kept_until_their_files_change(place: Workspace) -> None:
    kept = place.results("Evil") / PICTURES
    first = written(place)
    before = {path.name: path.stat().st_mtime_ns for path in kept.iterdir()}
    assert len(before) == 4
    assert Page(written(place)).scripts == Page(first).scripts
    assert {path.name: path.stat().st_mtime_ns for path in kept.iterdir()} == before
    mask = next((place.run_folder("Evil", "default", "2d", "default") / "fold1/validation/case2").iterdir())
    os.utime(mask, ns=(1, 1))
    written(place)
    assert len(before.keys() & {path.name for path in kept.iterdir()}) == 3
    assert len(list(kept.iterdir())) == 4


def test_pictures_that_cannot_be_kept_do_not_stop_the_report(
    place: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(path: Path, text: str) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    shutil.rmtree(place.results("Evil") / PICTURES, ignore_errors=True)
    monkeypatch.setattr(pictures, "write_text", refused)
    assert "case-0" in Page(written(place)).scripts
    (said,) = (record.getMessage() for record in caplog.records)
    assert f"The pictures could not be kept in {place.results('Evil') / PICTURES};" in said


def test_a_picture_that_another_report_writes_right_now_stays(place: Workspace) -> None:
    half = place.results("Evil") / PICTURES / ".tmp-1-0badcafe1-picture.json"
    half.parent.mkdir(exist_ok=True)
    half.touch()
    written(place)
    assert half.exists()
    half.unlink()


def test_as_many_pictures_as_fit(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    (script,) = (value for name, value in Page(written(place, pictures=1)).scripts.items() if name.startswith("case-"))
    monkeypatch.setattr(page, "PICTURE_BYTES", len(script) + 100)
    assert sum(name.startswith("case-") for name in Page(written(place)).scripts) == 1


def test_labelled_and_unlabelled_by_turns_behind_the_ten_worst() -> None:
    def row(number: int, dice: float | None) -> CaseRow:
        return CaseRow(
            number=number, name=str(number), part="", group="", dice=dice, nsd=None, expected=None, lowest="", lowest_value=None, classes={}
        )  # fmt: skip

    rows = [row(k, k / 20) for k in range(12)] + [row(k, None) for k in range(12, 15)]
    assert [one.number for one in page.in_turn(rows)] == [*range(10), 12, 10, 13, 11, 14]


def test_of_a_data_set_that_was_only_measured(tmp_path: Path, place: Workspace) -> None:
    bare = Workspace(root=tmp_path)
    make_raw(bare.raw / "Evil")
    bare.fingerprint_file("Evil").parent.mkdir(parents=True)
    bare.fingerprint_file("Evil").write_bytes(place.fingerprint_file("Evil").read_bytes())
    parsed = Page(written(bare))
    assert [attributes["id"] for tag, attributes in parsed.tags if tag == "section"] == ["data"]
    bare.fingerprint_file("Evil").unlink()
    assert f"autoseg plan_and_preprocess -d Evil -w {tmp_path}" in Page(written(bare)).texts


def test_images_from_elsewhere_have_pictures(tmp_path: Path) -> None:
    place = make_workspace(tmp_path)
    folder = place.predictions("Evil") / "mine"
    outside = tmp_path / "downloads"
    images = {}
    for name in ("hand", "gone"):
        write_picture(outside / f"{name}.png", np.full((32, 32), 90, np.uint8))
        write_masks(folder / name, predicted())
        images[name] = [str(outside / f"{name}.png")]
    (outside / "gone.png").unlink()
    write_json(folder / "predict.json", {"images": images})
    found = find(place, "Evil", place.raw / "Evil")
    rows = {row.name: row.number for row in case_rows(found) if row.part == "predictions/mine"}
    assert rows.keys() == {"hand", "gone"}
    scripts = Page(written(place)).scripts
    assert f"case-{rows['hand']}" in scripts
    assert f"case-{rows['gone']}" not in scripts


@pytest.mark.parametrize("record", [[], {"images": []}, {"images": {"hand": ["nowhere.png"]}}])
def test_an_odd_record_of_a_prediction_is_no_error(tmp_path: Path, record: object) -> None:
    place = make_workspace(tmp_path)
    write_masks(place.predictions("Evil") / "mine" / "hand", predicted())
    write_json(place.predictions("Evil") / "mine" / "predict.json", record)
    assert "the predictions in mine" in written(place)


def test_without_the_raw_data_there_are_no_pictures(tmp_path: Path) -> None:
    place = make_workspace(tmp_path)
    (place.raw / "Evil").rename(tmp_path / "elsewhere")
    text = written(place)
    assert "the raw data are not here" in text
    assert not [name for name in Page(text).scripts if name.startswith("case-")]


def test_a_damaged_file_is_named_and_the_rest_is_there(tmp_path: Path) -> None:
    place = make_workspace(tmp_path)
    place.selection_file("Evil").write_text("{", encoding="utf-8")
    place.fingerprint_file("Evil").write_text("[]", encoding="utf-8")
    parsed = Page(written(place))
    said = " ".join(parsed.texts)
    assert f"Not read: {place.selection_file('Evil')}" in said
    assert f"Not read: {place.fingerprint_file('Evil')}" in said
    ids = [attributes["id"] for tag, attributes in parsed.tags if tag == "section"]
    assert ids == ["data", "plan", "training", "scores", "cases", "expected", "labels"]
