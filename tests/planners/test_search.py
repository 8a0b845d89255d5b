"""Context first: the whole image while memory lasts, then the batch; a smaller patch only where time is short."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import pytest

from autoseg.budget import GIB, Budget, memory_budget, named_gpu
from autoseg.errors import PlanError
from autoseg.memory import Trace, with_allowances
from autoseg.plan import Memory, Stage
from autoseg.planners import search
from autoseg.planners.candidates import smaller_patches
from autoseg.planners.search import FILL, Cap, Tracer, batch_cap, largest_fitting, largest_that_fits, raise_batch
from autoseg.planners.view import View
from tests.planners.sets import whole

ALL = View(share=1.0, measured=True, reason="look-alikes")
HALF = View(share=0.5, measured=True, reason="look-alikes")
NONE = View(share=0.0, measured=True, reason="no look-alikes")
UNKNOWN = View(share=1.0, measured=False, reason="not measured")


def cap(batch: int) -> Callable[[Stage], Cap]:
    """A data set that supports this batch, whatever the patch."""
    return lambda stage: Cap(batch, f"5 % of the data set's pixels allow {batch}")


class Formula(Tracer):
    """Memory in closed form: so many bytes per pixel of a batch, half of them if anything is recomputed."""

    def __init__(self, budget_bytes: int, per_pixel: int = 1000) -> None:
        super().__init__(Budget(name="x", kind="cuda", memory_bytes=budget_bytes), exclusive=False)
        self.per_pixel = per_pixel
        self.asked: list[tuple[int, ...]] = []

    def is_conceivable(self, stage: Stage) -> bool:
        return True  # what a net really needs does not matter here

    def memory(self, stage: Stage) -> Memory:
        self.asked.append(stage.patch)
        share = 0.5**stage.checkpointed_stages
        return Memory(peak_bytes=int(stage.batch * math.prod(stage.patch) * self.per_pixel * share), budget_bytes=self.budget.memory_bytes)


def test_room_is_filled_with_samples() -> None:
    # 256 x 256 x 1000 bytes: 65.5 MB a sample; 92 % of 700 MB hold 9.
    choice = largest_that_fits(whole((256, 256)), Formula(700_000_000), ALL, cap_of=cap(100))
    assert (choice.stage.patch, choice.stage.batch, choice.stage.checkpointed_stages) == ((256, 256), 9, 0)
    assert choice.reasons["patch"] == "the whole image at full resolution"
    assert choice.reasons["batch"] == "9: one more would exceed 92% of the memory"


def test_the_data_set_limits_the_batch() -> None:
    choice = largest_that_fits(whole((256, 256)), Formula(700_000_000), ALL, cap_of=cap(5))
    assert choice.stage.batch == 5
    assert choice.reasons["batch"] == "5: 5 % of the data set's pixels allow 5"


def test_what_is_almost_too_large_is_computed_twice_before_it_is_cut() -> None:
    choice = largest_that_fits(whole((256, 256)), Formula(100_000_000), ALL, cap_of=cap(100))
    assert (choice.stage.patch, choice.stage.batch, choice.stage.checkpointed_stages) == ((256, 256), 2, 1)
    assert "if the finest 1 stages are computed twice" in choice.reasons["patch"]


def test_then_the_patch_is_cut_and_stays_square() -> None:
    choice = largest_that_fits(whole((256, 256)), Formula(8_000_000), ALL, cap_of=cap(100))
    edge = choice.stage.patch[0]
    assert choice.stage.patch == (edge, edge)
    assert choice.stage.checkpointed_stages == 0
    # Recomputed, the whole needs 8.2 MB of 7.36. 3680 pixels a sample: 60 x 60; nets of that size pool by 8: 56, and 64 is too large.
    assert edge == 56
    assert choice.reasons["patch"] == "the whole image, 256 x 256, does not fit; this is the largest patch that does"


def test_a_budget_for_nothing_is_refused_with_what_is_needed() -> None:
    with pytest.raises(
        PlanError, match=r"a budget of 0\.5 GiB is too small: the smallest net needs \d+\.\d\d GiB.*--gpu-memory \(\d.*--gpu cpu"
    ):
        largest_that_fits(whole((48, 48)), Tracer(memory_budget(0.5), exclusive=False), ALL, cap_of=cap(2))


@pytest.mark.parametrize(
    ("images", "shape", "patch", "cap"),
    [
        (800, (2048, 2048), (2048, 2048), Cap(40, "5 % of the data set's pixels allow 40")),
        (20, (1024, 1024), (1024, 1024), Cap(2, "the least, which is more than 5 % of the data set's pixels")),
        (100, (512, 512), (256, 256), Cap(20, "5 % of the data set's pixels allow 20")),
        (10**6, (64, 64), (64, 64), Cap(512, "the most, though 5 % of the data set's pixels allow 50000")),
    ],
)
def test_five_percent_of_the_pixels(images: int, shape: tuple[int, ...], patch: tuple[int, ...], cap: Cap) -> None:
    assert batch_cap(images, shape, patch) == cap


def test_each_stage_is_traced_once_and_plans_share_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Stage] = []

    def trace(stage: Stage, **_: Any) -> Trace:
        calls.append(stage)
        return Trace(peak=10, parameters=1, gradients=1, optimizer=1)

    monkeypatch.setattr(search, "trace_step", trace)
    tracer = Tracer(memory_budget(8), exclusive=False)
    stage = whole((64, 64))
    for given in (stage, stage, replace(stage, batch=3), replace(stage, reasons={"x": "y"}), stage):
        tracer.memory(given)
    assert len(calls) == 2
    other = Tracer(memory_budget(16), exclusive=False, traces=tracer.traces)
    assert other.memory(stage).budget_bytes == 16 * GIB
    assert len(calls) == 2
    Tracer(memory_budget(16), exclusive=True, traces=tracer.traces).memory(stage)  # another loss
    other.memory(replace(stage, checkpointed_stages=1))
    assert len(calls) == 4


@pytest.mark.parametrize("budget", [3_000_000, 10_000_000, 40_000_000, 90_000_000, 120_000_000])
def test_the_largest_patch_is_found_with_few_traces(budget: int) -> None:
    stage, tracer = whole((512, 512)), Formula(budget)
    found = largest_fitting(smaller_patches(stage), tracer, known=stage)
    fitting = [c for c in smaller_patches(stage) if 2 * math.prod(c.patch) * 1000 <= FILL * budget]
    assert found == (fitting[0] if fitting else None)
    assert len(set(tracer.asked)) <= 4


def test_nothing_fits() -> None:
    stage = whole((512, 512))
    assert largest_fitting(smaller_patches(stage), Formula(1000), known=stage) is None


def test_without_look_alikes_nothing_is_computed_twice() -> None:
    choice = largest_that_fits(whole((256, 256)), Formula(100_000_000), NONE, cap_of=cap(100))
    assert choice.stage.checkpointed_stages == 0
    assert choice.stage.patch == (192, 192)  # 46,000 pixels a sample: 214 x 214; nets of that size pool by 32


def test_a_patch_that_shows_enough_is_not_computed_twice() -> None:
    # Not even 1/16 of 262 MB fits as a whole; 14,400 pixels a sample do: 112 x 112 of 512. With one stage recomputed 160, 30 %.
    stage = whole((512, 512))
    third = replace(HALF, share=0.2)
    assert largest_that_fits(stage, Formula(31_300_000), third, cap_of=cap(2)).stage.patch == (112, 112)
    assert largest_that_fits(stage, Formula(31_300_000), third, cap_of=cap(2)).stage.checkpointed_stages == 0


def test_patches_are_recomputed_until_they_show_enough() -> None:
    # 2 x 512 x 512 x 1000 B / 2^4 = 32.8 MB of 32.7; 40 % of the edge take 224 x 224: 100 MB, which two stages recomputed bring to 25.
    choice = largest_that_fits(whole((512, 512)), Formula(35_500_000), replace(HALF, share=0.4), cap_of=cap(2))
    assert (choice.stage.patch, choice.stage.checkpointed_stages) == ((224, 224), 2)


def test_a_view_that_was_not_measured_is_a_wish() -> None:
    choice = largest_that_fits(whole((512, 512)), Formula(20_000_000), UNKNOWN, cap_of=cap(2))
    assert choice.stage.checkpointed_stages == 0
    assert choice.stage.patch < (512, 512)


def test_what_cannot_fit_by_its_finest_stage_alone_is_not_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    # Two convolutions down and two up keep result and activation, and the decoder what it joined: 10 maps of 32 features in 2 bytes.
    traced: list[tuple[int, ...]] = []

    def memory(self: Tracer, stage: Stage) -> Memory:
        traced.append(stage.patch)
        return Memory(peak_bytes=1, budget_bytes=1)

    monkeypatch.setattr(Tracer, "memory", memory)
    stage = replace(whole((512, 512)), batch=2)
    needed = 2 * 512 * 512 * 10 * 32 * 2
    over, under = (Tracer(Budget(name="x", kind="cuda", memory_bytes=int(n / FILL)), exclusive=False) for n in (needed - 9, needed + 9))
    assert not over.fits(stage)
    assert not traced
    assert under.fits(stage)
    assert over.fits(replace(stage, checkpointed_stages=1))
    # One convolution up keeps two maps fewer.
    light = replace(stage, network=replace(stage.network, decoder_convs=1))
    assert not Tracer(Budget(name="x", kind="cpu", memory_bytes=int((needed * 8 // 10 - 9) / FILL)), exclusive=False).fits(light)
    assert Tracer(Budget(name="x", kind="cpu", memory_bytes=int((needed * 8 // 10 + 9) / FILL)), exclusive=False).fits(light)


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
@pytest.mark.parametrize(("convs", "up"), [(2, None), (2, 1), (8, 1)])
def test_what_fits_by_its_trace_is_never_refused_untraced(kind: Literal["cpu", "cuda"], convs: int, up: int | None) -> None:
    # So large that weights and allowances are next to nothing.
    stage = whole((256, 256, 256))
    stage = replace(stage, batch=2, precision="bf16", network=replace(stage.network, convs=convs, decoder_convs=up))
    peak = Tracer(Budget(name="x", kind=kind, memory_bytes=1, bf16=True), exclusive=False).memory(stage).peak_bytes
    assert Tracer(Budget(name="x", kind=kind, memory_bytes=int(peak / FILL) + 1, bf16=True), exclusive=False).fits(stage)


def test_a_batch_that_was_estimated_is_lowered_if_its_trace_says_so() -> None:
    class Steep(Formula):
        """Memory that grows faster than two traces let hope."""

        def memory(self, stage: Stage) -> Memory:
            return Memory(peak_bytes=stage.batch if stage.batch < 9 else 10 * stage.batch, budget_bytes=100)

    tracer = Steep(100)
    raised = raise_batch(whole((64, 64)), tracer, 50)
    assert raised.batch == 50  # 50 bytes by the first two, clearly below 92
    settled = tracer.settled(raised)
    assert settled.memory.peak_bytes <= 92
    assert settled.batch == 9


def test_handbone_on_a_v100_sees_the_whole_hand() -> None:
    # About 16.8 GiB traced for a batch of 2; three fit into 92 % of 31.7 GiB, and memory alone limits the batch.
    budget = named_gpu("v100-32gb")
    stage = whole((2048, 2048), heads=29, priors=(0.01,) * 29)
    choice = largest_that_fits(stage, Tracer(budget, exclusive=False), ALL, cap_of=cap(40))
    assert choice.stage.patch == (2048, 2048)
    assert choice.stage.batch >= 3
    assert choice.stage.checkpointed_stages == 0
    tracer = Tracer(budget, exclusive=False)
    assert tracer.fits(choice.stage)
    assert not tracer.fits(replace(choice.stage, batch=choice.stage.batch + 1))


def test_allowances_count_against_the_budget() -> None:
    tracer = Tracer(memory_budget(8), exclusive=False)
    memory = tracer.memory(whole((64, 64)))
    assert memory.budget_bytes == 8 * GIB
    assert memory.parts["context"] > 0
    assert with_allowances.__doc__
