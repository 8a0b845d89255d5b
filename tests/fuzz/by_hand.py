"""Coverage-guided fuzzing of the JSON readers with atheris, by hand: it is no dependency and not run by pytest.

    python -m venv FUZZ --system-site-packages && FUZZ/bin/pip install atheris
    FUZZ/bin/python -m tests.fuzz.by_hand coco -max_total_time=300

The first word names a reader of `tests.fuzz.targets.JSON`; the rest goes to libFuzzer. An exception that is no AutosegError ends the run
and leaves the bytes in a file crash-*.
"""

import json
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["autoseg"]):
    from tests.fuzz.targets import JSON, reads_or_refuses


def main() -> None:
    """Begin with the sound content and mutate it."""
    name = sys.argv.pop(1) if len(sys.argv) > 1 else ""
    if name not in JSON:
        sys.exit(f"name a reader: {', '.join(JSON)}")
    file, read, sound = JSON[name]
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        (corpus / "sound").write_text(sound if isinstance(sound, str) else json.dumps(sound), encoding="utf-8")
        path = Path(folder) / file
        atheris.Setup([*sys.argv, str(corpus)], lambda data: reads_or_refuses(read, path, data))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
