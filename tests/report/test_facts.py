"""Warnings: only what is odd."""

from dataclasses import replace

from autoseg.fingerprint import CasePose
from autoseg.report.facts import class_rows, facts, warnings
from autoseg.report.found import Found
from tests.fingerprint.make import FLAT, case_facts, fingerprint

CASES = [case_facts(f"c{k}", intensity=(replace(FLAT, mean=100 + k),)) for k in range(10)]


def found(**changes: object) -> Found:
    nothing = Found(
        name="Made", dataset=None, fingerprint=None, splits={}, plans=(), runs=(), selection=None, predicted=None, checks={}, notes=()
    )  # fmt: skip
    return replace(nothing, **changes)  # type: ignore[arg-type]


def test_nothing_odd_no_warning() -> None:
    assert warnings(found(fingerprint=fingerprint(CASES))) == []


def test_each_oddity_is_one_sentence() -> None:
    bright = case_facts("bright", intensity=(replace(FLAT, mean=500),))
    flat = case_facts("flat", intensity=(replace(FLAT, mean=103, minimum=103, maximum=103),))
    bare = case_facts("bare", intensity=(replace(FLAT, mean=104),), classes=(None,))
    poses = (CasePose(case="bright", turn=0.0, side=0, unusual=9.0), CasePose(case="c1", turn=0.0, side=0, unusual=1.0))
    measured = fingerprint([*CASES, bright, flat, bare], poses=poses)
    assert warnings(found(fingerprint=measured, notes=("x.json: damaged",), splits={"reasons": {"missing": "fold0 lacks a"}})) == [
        "Not read: x.json: damaged",
        "Folds: fold0 lacks a",
        "Without any class: bare.",
        "Of one value everywhere: flat.",
        "Odd mean intensity (channel 0): bright.",
        "Classes lie unusually: bright.",
    ]


def test_rare_and_missing_classes() -> None:
    one = CASES[0].classes[0]
    cases = [replace(case, classes=(one, one if k < 2 else None, None)) for k, case in enumerate(CASES)]
    measured = fingerprint(cases, ("often", "seldom", "never"))
    assert warnings(found(fingerprint=measured)) == ["The class seldom is in 2 of 10 cases.", "The class never is in no case."]
    rows = class_rows(measured)
    assert rows[1] == ("seldom", "2 of 10", "100", "100 – 100", "10.000%", "1")
    assert rows[2][:4] == ("never", "0 of 10", "", "")


def test_sizes_are_counted() -> None:
    cases = [*CASES, case_facts("wide", shape=(64, 128))]
    assert dict(facts(found(fingerprint=fingerprint(cases))))["sizes"] == "64 × 64 (10), 64 × 128 (1)"
