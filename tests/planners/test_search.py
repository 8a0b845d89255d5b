"""Context first: the whole image while memory lasts, then the batch; a smaller patch only where time is short."""

import math
from dataclasses import replace
from typing import Any

import pytest

from autoseg.budget import GIB, Budget, memory_budget, named_gpu
from autoseg.errors import PlanError
from autoseg.memory import with_allowances
from autoseg.plan import Memory, Stage
from autoseg.planners import search
from autoseg.planners.duration import timed_iterations
from autoseg.planners.search import FILL, MIN_BATCH, Tracer, batch_cap, largest_that_fits, shrink, smaller_edges, within_time
from autoseg.planners.topology import unet
from autoseg.recipe import recipe_for
from tests import small


def whole(shape: tuple[int, ...], **changes: Any) -> Stage:
    patch, network = unet(shape, (1.0,) * len(shape), in_channels=1, num_heads=changes.pop("heads", 2))
    given = {"patch": patch, "network": network, "image_shape": shape, "recipe": recipe_for("dice_bce", 10_000), "precision": "fp16"}
    return small.stage(len(shape), **{**given, **changes})


class Formula(Tracer):
    """Memory in closed form: so many bytes per pixel of a batch, half of them if anything is recomputed."""

    def __init__(self, budget_bytes: int, per_pixel: int = 1000) -> None:
        super().__init__(Budget(name="x", kind="cuda", memory_bytes=budget_bytes), exclusive=False)
        self.per_pixel = per_pixel

    def memory(self, stage: Stage) -> Memory:
        share = 0.5**stage.checkpointed_stages
        return Memory(peak_bytes=int(stage.batch * math.prod(stage.patch) * self.per_pixel * share), budget_bytes=self.budget.memory_bytes)


def test_room_is_filled_with_samples() -> None:
    # 256 x 256 x 1000 bytes: 65.5 MB a sample; 92 % of 700 MB hold 9.
    choice = largest_that_fits(whole((256, 256)), Formula(700_000_000), batch_cap=100)
    assert (choice.stage.patch, choice.stage.batch, choice.stage.checkpointed_stages) == ((256, 256), 9, 0)
    assert choice.reasons["patch"] == "the whole image at full resolution"
    assert choice.reasons["batch"] == "9: one more would exceed 92% of the memory"


def test_the_data_set_limits_the_batch() -> None:
    choice = largest_that_fits(whole((256, 256)), Formula(700_000_000), batch_cap=5)
    assert choice.stage.batch == 5
    assert choice.reasons["batch"] == "5: 5 % of the data set's pixels allow 5"


def test_what_is_almost_too_large_is_computed_twice_before_it_is_cut() -> None:
    choice = largest_that_fits(whole((256, 256)), Formula(100_000_000), batch_cap=100)
    assert (choice.stage.patch, choice.stage.batch, choice.stage.checkpointed_stages) == ((256, 256), 2, 1)
    assert "if the finest 1 stages are computed twice" in choice.reasons["patch"]


def test_then_the_patch_is_cut_and_stays_square() -> None:
    choice = largest_that_fits(whole((256, 256)), Formula(10_000_000), batch_cap=100)
    edge = choice.stage.patch[0]
    assert choice.stage.patch == (edge, edge)
    assert choice.stage.checkpointed_stages == 0
    assert 2 * edge**2 * 1000 <= FILL * 10_000_000 < 2 * (1.4 * edge) ** 2 * 1000
    assert choice.reasons["patch"] == "the whole image, 256 x 256, does not fit; this is the largest patch that does"


def test_a_budget_for_nothing_is_refused_with_what_is_needed() -> None:
    with pytest.raises(
        PlanError, match=r"a budget of 0\.5 GiB is too small: the smallest net needs \d+\.\d GiB. .*--gpu-memory.*--gpu cpu"
    ):
        largest_that_fits(whole((48, 48)), Tracer(memory_budget(0.5), exclusive=False), batch_cap=2)


def test_long_axes_are_cut_first() -> None:
    assert shrink(whole((64, 512)), 128).patch == (64, 128)
    assert shrink(whole((200, 200)), 100).patch[0] <= 100


def test_smaller_edges_end_at_32() -> None:
    edges = smaller_edges(whole((2048, 2048)))
    assert edges == sorted(edges, reverse=True)
    assert edges[0] == int(2048 / 1.15)
    assert edges[-1] <= 32 < edges[-2]


@pytest.mark.parametrize(
    ("images", "shape", "patch", "cap"),
    [
        (800, (2048, 2048), (2048, 2048), 40),
        (20, (1024, 1024), (1024, 1024), 2),
        (100, (512, 512), (256, 256), 20),
        (10**6, (64, 64), (64, 64), 512),
    ],
)
def test_five_percent_of_the_pixels(images: int, shape: tuple[int, ...], patch: tuple[int, ...], cap: int) -> None:
    assert batch_cap(images, shape, patch) == cap


def test_each_stage_is_traced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Stage] = []
    monkeypatch.setattr(search, "training_memory", lambda stage, **_: calls.append(stage) or Memory(peak_bytes=1, budget_bytes=2))  # type: ignore[func-returns-value]
    tracer = Tracer(memory_budget(8), exclusive=False)
    stage = whole((64, 64))
    for given in (stage, stage, replace(stage, batch=3), replace(stage, reasons={"x": "y"}), stage):
        tracer.memory(given)
    assert len(calls) == 2


def test_handbone_on_a_v100_sees_the_whole_hand() -> None:
    # DESIGN 2: about 16.8 GiB traced for a batch of 2; three fit into 92 % of 31.7 GiB, and memory alone limits the batch.
    budget = named_gpu("v100-32gb")
    stage = whole((2048, 2048), heads=29, priors=(0.01,) * 29)
    choice = largest_that_fits(stage, Tracer(budget, exclusive=False), batch_cap=40)
    assert choice.stage.patch == (2048, 2048)
    assert choice.stage.batch >= 3
    assert choice.stage.checkpointed_stages == 0
    tracer = Tracer(budget, exclusive=False)
    assert tracer.fits(choice.stage)
    assert not tracer.fits(replace(choice.stage, batch=choice.stage.batch + 1))


def seconds(per_pixel: float, overhead: float = 0.0) -> Any:
    return lambda stage: overhead + per_pixel * stage.batch * math.prod(stage.patch)


@pytest.mark.parametrize("per_pixel", [1e-9, 3e-7, 1e-6, 5e-6, 1e-4])
@pytest.mark.parametrize("overhead", [0.0, 0.05])
def test_the_largest_patch_that_leaves_400_iterations(per_pixel: float, overhead: float) -> None:
    stage, measure, fold_s = whole((512, 512)), seconds(per_pixel, overhead), 100.0
    patches = [stage.patch] + [shrink(stage, edge).patch for edge in smaller_edges(stage)]
    enough = [p for p in patches if timed_iterations(fold_s, overhead + per_pixel * 2 * math.prod(p)) >= 400]
    expected = max(enough, key=math.prod, default=min(patches, key=math.prod))
    choice = within_time(stage, fold_s, measure, lambda candidate: MIN_BATCH)
    assert choice.stage.patch == expected
    assert choice.stage.batch == MIN_BATCH
    assert choice.stage.step_s == measure(choice.stage)
    assert ("the whole image" in choice.reasons["patch"]) == (expected == stage.patch)


def test_what_is_far_too_large_is_never_measured() -> None:
    measured: list[int] = []

    def measure(stage: Stage) -> float:
        measured.append(math.prod(stage.patch))
        return 1e-6 * stage.batch * math.prod(stage.patch)

    within_time(whole((2048, 2048)), 50.0, measure, lambda candidate: MIN_BATCH)
    assert max(measured) < 512 * 512


def test_samples_are_added_while_1500_iterations_are_left() -> None:
    # 900 s of steps; 1500 of them leave 0.6 s each: 4 samples of 0.131 s, not 8.
    choice = within_time(whole((256, 256)), 1000.0, seconds(2e-6), lambda candidate: 100)
    assert (choice.stage.patch, choice.stage.batch) == ((256, 256), 4)
    capped = within_time(whole((256, 256)), 1000.0, seconds(2e-6), lambda candidate: 3)
    assert capped.stage.batch == 2


def test_allowances_count_against_the_budget() -> None:
    tracer = Tracer(memory_budget(8), exclusive=False)
    memory = tracer.memory(whole((64, 64)))
    assert memory.budget_bytes == 8 * GIB
    assert memory.parts["context"] > 0
    assert with_allowances.__doc__
