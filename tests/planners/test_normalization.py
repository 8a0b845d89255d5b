"""nnU-Net's rules for normalisation."""

import pytest

from autoseg.planners.normalization import decide_crop, decide_normalization
from tests.fingerprint.make import FLAT, case_facts, fingerprint


def test_ct_by_name_takes_the_data_sets_numbers() -> None:
    (rule,), reason = decide_normalization(fingerprint([case_facts("a")], channels=("CT",)))
    assert (rule.kind, rule.lower, rule.upper, rule.mean, rule.std) == ("ct", 1, 250, 100, 20)
    assert "percentiles" in reason


def test_grey_and_mri_are_standardised_by_themselves() -> None:
    for channels in ((), ("MRI",)):
        (rule,), _ = decide_normalization(fingerprint([case_facts("a")], channels=channels))
        assert rule.kind == "zscore"
        assert rule.mean is None


@pytest.mark.parametrize(
    ("dtype", "channels", "kind"), [("uint8", (), "unit"), ("float32", (), "zscore"), ("uint8", ("T1", "T2", "FLAIR"), "zscore")]
)
def test_colour_pictures(dtype: str, channels: tuple[str, ...], kind: str) -> None:
    case = case_facts("a", channels=3, dtype=dtype, foreground=(FLAT,) * 3)
    rules, _ = decide_normalization(fingerprint([case], channels=channels))
    assert [rule.kind for rule in rules] == [kind] * 3


def test_crop_only_where_it_saves() -> None:
    small = case_facts("a", nonzero_box=((0, 64), (0, 32)))
    large = case_facts("b", nonzero_box=((0, 64), (0, 63)))
    assert decide_crop(fingerprint([small]))[0]
    assert not decide_crop(fingerprint([large]))[0]
