"""What a person wrote is set aside under a name of its own, however often."""

from pathlib import Path

from autoseg.cli.options import free_name


def test_no_file_is_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "plan_default_earlier.json"
    made = []
    for number in range(3):
        free = free_name(file)
        free.write_text(str(number))
        made.append(free.name)
    assert made == ["plan_default_earlier.json", "plan_default_earlier_2.json", "plan_default_earlier_3.json"]
    assert file.read_text() == "0"
