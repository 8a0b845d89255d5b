"""The package of docs/extending.md, taken from the page, found by its entry points, planned, trained and predicted with."""

import json
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from autoseg.augment.intensity import TRANSFORMS
from autoseg.extensions import find, installed
from autoseg.io.layouts import read_dataset
from autoseg.losses import DeepSupervision
from autoseg.nets import build_net
from autoseg.plan import Plan
from tests import small
from tests.cli.conftest import Autoseg, autoseg
from tests.docs.pages import fenced

__all__ = ["autoseg"]
#: One a kind, the page says.
NAMES = {
    "autoseg.layouts": "pairs", "autoseg.planners": "slim", "autoseg.recipes": "gentle", "autoseg.losses": "brier",
    "autoseg.nets": "dilated", "autoseg.transforms": "stripes",
}  # fmt: skip


def files_of_the_page(root: Path) -> dict[str, str]:
    blocks = [content for _, content in fenced((root / "docs/extending.md").read_text(encoding="utf-8"))]
    return {content.splitlines()[0].removeprefix("# "): content for content in blocks}


@pytest.fixture
def extras(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package as an installer leaves it: its modules, and its entry points in a .dist-info."""
    place = tmp_path / "installed"
    for name, content in files_of_the_page(root).items():
        file = place / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")
    project = tomllib.loads((place / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = place / "extras-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: extras\nVersion: 1\n", encoding="utf-8")
    groups = project["entry-points"].items()
    lines = [f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in given.items()) for group, given in groups]
    (info / "entry_points.txt").write_text("".join(lines), encoding="utf-8")
    monkeypatch.syspath_prepend(place)
    installed.cache_clear()
    yield place
    installed.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "extras"]:
        del sys.modules[name]


def write_pairs(folder: Path, num: int = 8, size: int = 32) -> Path:
    """Bright squares on noise."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for k in range(num):
        image, mask = rng.integers(0, 60, (size, size)).astype(np.uint8), np.zeros((size, size), np.uint8)
        y, x = rng.integers(4, 16, 2)
        image[y : y + 12, x : x + 12] += 150
        mask[y : y + 12, x : x + 12] = 255
        Image.fromarray(image).save(folder / f"p{k // 2}_{k}.png")
        Image.fromarray(mask).save(folder / f"p{k // 2}_{k}.mask.png")
    return folder


def test_the_page_has_an_example_of_each_kind(root: Path) -> None:
    files = files_of_the_page(root)
    points = tomllib.loads(files["pyproject.toml"])["project"]["entry-points"]
    assert {group: next(iter(given)) for group, given in points.items()} == NAMES
    assert files.keys() == {"pyproject.toml", *(f"extras/{n}.py" for n in ("reader", "planner", "recipe", "loss", "net", "transform"))}
    code = {name: [line for line in text.splitlines()[1:] if line.strip()] for name, text in files.items() if name.endswith(".py")}
    assert max(map(len, code.values())) <= 20


def test_the_package_is_used_from_end_to_end(extras: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autoseg: Autoseg) -> None:
    monkeypatch.chdir(tmp_path)
    write_pairs(tmp_path / "raw" / "Lesions")
    settings = ("2d.network.kind=dilated", "2d.recipe.augmentation.transforms.stripes=1", "2d.recipe.loss=brier", "2d.batch=2")
    command = ("plan_and_preprocess", "--planner", "slim", "--gpu", "cpu", "--workers", 1)
    wrong = autoseg("plan_and_preprocess", "--planner", "slimm", "--gpu", "cpu")
    assert (wrong.code, "Error: --planner slimm is not known; there are default, resenc, slim." in wrong.err) == (2, True)
    assert autoseg(*command).code == 0
    assert "Plan: unchanged" in autoseg(*command).out
    done = autoseg(*command, *(f"--set={text}" for text in settings))
    assert done.code == 0, done.err
    plan = json.loads((tmp_path / "preprocessed/Lesions/plans/slim.json").read_text(encoding="utf-8"))
    stage = plan["stages"]["2d"]
    assert plan["planner"] == "slim"
    assert stage["network"]["features"] == [max(8, 32 * 2**k // 4) for k in range(len(stage["network"]["features"]))]
    again = autoseg(*command, *(f"--set={text}" for text in settings))
    assert "Plan: unchanged" in again.out
    done = autoseg("train", "2d", "fold0", "--plan", "slim", "--trainer", "gentle", "--epochs", 1, "--iterations-per-epoch", 2)
    assert done.code == 0, done.err
    run = tmp_path / "results/Lesions/slim/2d-gentle"
    recipe = json.loads((run / "fold0/run.json").read_text(encoding="utf-8"))["stage"]["recipe"]
    assert (recipe["name"], recipe["lr"], recipe["clip_norm"], recipe["loss"]) == ("gentle", 5e-4, 1.0, "brier")
    done = autoseg("predict", "-i", tmp_path / "raw/Lesions/p0_0.png", "-o", tmp_path / "out", "--device", "cpu")
    assert done.code == 0, done.err
    assert (tmp_path / "out/p0_0.png").is_file()


def test_the_reader_reads(extras: Path, tmp_path: Path) -> None:
    dataset = read_dataset(write_pairs(tmp_path / "Lesions", num=4))
    assert (dataset.layout, dataset.classes) == ("pairs", ("lesion",))
    assert [(case.name, case.group) for case in dataset.train] == [("p0_0", "p0"), ("p0_1", "p0"), ("p1_2", "p1"), ("p1_3", "p1")]


def test_the_loss_is_the_squared_error(extras: Path) -> None:
    loss = DeepSupervision("brier", (0.2, 0.1), exclusive=False)
    codes, table = torch.zeros((1, 2, 2), dtype=torch.int32), torch.tensor([[[True, False]]])
    # Probabilities of one half: a quarter off, whatever the truth.
    assert float(loss([torch.zeros(1, 2, 2, 2)], codes, table, None)) == pytest.approx(0.25)
    # Of 1 and 0 where that is true: nothing off; the other way round: all.
    sure = torch.tensor([50.0, -50.0]).reshape(1, 2, 1, 1).expand(1, 2, 2, 2)
    assert float(loss([sure], codes, table, None)) == pytest.approx(0)
    assert float(loss([-sure], codes, table, None)) == pytest.approx(1)


def test_the_net_sees_as_far_as_it_says(extras: Path) -> None:
    net = build_net(small.network(kind="dilated")).eval()
    for parameter in net.parameters():
        torch.nn.init.ones_(parameter)
    image = torch.zeros(1, 1, 32, 32, requires_grad=True)
    net(image)[0][0, 0, 16, 16].backward()
    assert image.grad is not None
    for axis in (0, 1):
        seen = image.grad[0, 0].sum(dim=axis).nonzero().flatten()
        assert (int(seen.min()), int(seen.max())) == (16 - 7, 16 + 7)  # 1 + 2 + 4 pixels to each side
    assert len(net.encoder) == 3


def test_the_transform_darkens_rows_and_repeats(extras: Path) -> None:
    stripes = find("transforms", "stripes", TRANSFORMS)
    first, second = torch.zeros(1, 12, 12), torch.zeros(1, 12, 12)
    stripes(first, np.random.default_rng(3))
    stripes(second, np.random.default_rng(3))
    assert torch.equal(first, second)
    rows = first[0].amin(dim=1)
    assert 2 <= int((rows < 0).sum()) <= 4
    assert torch.equal(first[0].amax(dim=1), rows)
    assert 0.1 <= -float(rows.min()) <= 0.5


def test_a_recipe_says_nothing_else(extras: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from autoseg.errors import UsageError
    from autoseg.trainers.options import find_recipe

    assert find_recipe("gentle")["lr"] == 5e-4
    module = sys.modules["extras.recipe"]
    monkeypatch.setattr(module, "GENTLE", {"loss": "brier"})
    with pytest.raises(UsageError, match="--trainer gentle: a recipe is a mapping with keys of clip_norm, lr, momentum, optimizer"):
        find_recipe("gentle")


def test_without_the_package_its_plan_is_refused_by_name(extras: Path) -> None:
    from autoseg.planners.limits import beyond_limits

    plan: Plan = small.plan()
    stage = small.with_recipe(small.stage(network=small.network(kind="dilated")), loss="brier")
    assert beyond_limits(stage, plan.budget, plan.labels) == []
    installed.cache_clear()
    sys.path.remove(str(extras))
    complaints = dict(beyond_limits(stage, plan.budget, plan.labels))
    assert complaints["network.kind"].endswith("got 'dilated'")
    assert complaints["recipe.loss"].startswith("must be one of dice_ce, ")
