"""What could not be looked up is never called sound."""

import sys

import pytest

from tests.house.audit import audit, verdict

SOUND = {"name": "numpy", "version": "2.0", "vulns": []}
BAD = {"name": "pillow", "version": "9.0", "vulns": [{"id": "CVE-2023-1", "fix_versions": ["10.1"]}]}
SKIPPED = {"name": "torch", "skip_reason": "not found"}
OURS = {"name": "autoseg", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("packages", "code", "said"),
    [
        ([SOUND, OURS], 0, "1 packages, no known vulnerability"),
        ([SOUND, SKIPPED], 0, "1 packages, no known vulnerability; NOT AUDITED: torch"),
        ([SKIPPED, OURS], 0, "NOT AUDITED: pip-audit knew none of the 1 packages; is there a network?"),
        ([SOUND, BAD, SKIPPED], 1, "1 known vulnerabilities in 2 packages; NOT AUDITED: torch:\n  pillow 9.0: CVE-2023-1 (mended in 10.1)"),
    ],
)
def test_verdict(packages: list[dict[str, object]], code: int, said: str) -> None:
    assert verdict({"dependencies": packages}) == (code, said)


def test_a_failure_is_said() -> None:
    assert audit(["/nowhere/pip-audit"]) == (0, "NOT AUDITED: /nowhere/pip-audit is not installed")
    assert audit([sys.executable, "-c", "raise SystemExit('no route to host')"]) == (0, "NOT AUDITED: pip-audit failed: no route to host")
