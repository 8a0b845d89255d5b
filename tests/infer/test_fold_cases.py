"""The cases of a fold."""

from pathlib import Path

import pytest

from autoseg.infer.fold_cases import cases_digest, trained_on


def test_a_digest_knows_no_order_and_tells_training_from_validation() -> None:
    assert cases_digest(["a", "b"], ["c"]) == cases_digest(["b", "a"], ["c"]) != cases_digest(["a", "c"], ["b"])


@pytest.mark.parametrize(("content", "found"), [('{"fingerprint": "f", "cases": "c"}', ("f", "c")), ("[]", ("", "")), ("{", ("", ""))])
def test_what_a_fold_was_trained_on(tmp_path: Path, content: str, found: tuple[str, str]) -> None:
    assert trained_on(tmp_path) == ("", "")
    (tmp_path / "run.json").write_text(content, encoding="utf-8")
    assert trained_on(tmp_path) == found
