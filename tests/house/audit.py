"""`make audit`: known vulnerabilities of the installed packages, by pip-audit, and plainly "NOT AUDITED" where it could not look.

pip-audit alone says "No known vulnerabilities found" and exits 0 when it reached no list at all and skipped every package.
"""

import json
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from typing import Any


def verdict(report: Mapping[str, Any]) -> tuple[int, str]:
    """The exit code and what to say of pip-audit's JSON: 1 for a known vulnerability, 0 otherwise, looked up or not."""
    packages = [package for package in report["dependencies"] if package["name"] != "autoseg"]
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    known = [f"  {p['name']} {p['version']}: {v['id']}{_mended(v)}" for p in packages for v in p.get("vulns", ())]
    looked_up = len(packages) - len(skipped)
    left = f"; NOT AUDITED: {', '.join(skipped)}" if skipped else ""
    if known:
        return 1, "\n".join([f"{len(known)} known vulnerabilities in {looked_up} packages{left}:", *known])
    if not looked_up:
        return 0, f"NOT AUDITED: pip-audit knew none of the {len(packages)} packages; is there a network?"
    return 0, f"{looked_up} packages, no known vulnerability{left}"


def _mended(vulnerability: Mapping[str, Any]) -> str:
    versions = vulnerability.get("fix_versions") or ()
    return f" (mended in {', '.join(versions)})" if versions else ""


def audit(command: Sequence[str]) -> tuple[int, str]:
    """Run pip-audit over this interpreter's packages."""
    try:
        done = subprocess.run(
            [*command, "--path", sysconfig.get_path("purelib"), "--format", "json", "--progress-spinner", "off"],
            capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        return verdict(json.loads(done.stdout))
    except FileNotFoundError:
        return 0, f"NOT AUDITED: {command[0]} is not installed"
    except subprocess.TimeoutExpired:
        return 0, "NOT AUDITED: pip-audit did not end within 10 minutes"
    except ValueError:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return 0, f"NOT AUDITED: pip-audit failed: {last[:300]}"


if __name__ == "__main__":
    code, said = audit(sys.argv[1:])
    print(said)
    sys.exit(code)
