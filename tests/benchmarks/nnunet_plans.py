"""What nnU-Net's planner writes, as far as the benchmarks read it, and both tools' commands without running them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from autoseg.io.json_files import save_json
from benchmarks.side_by_side import Bench
from tests import small


def nnunet_plans(**changes: Any) -> dict[str, Any]:
    """What nnU-Net's planner would write of the net and patch of tests/small.py."""
    net = {
        "features_per_stage": [4, 8, 12],
        "strides": [[1, 1], [2, 2], [2, 2]],
        "kernel_sizes": [[3, 3]] * 3,
        "n_conv_per_stage": [1] * 3,
        "n_conv_per_stage_decoder": [1] * 2,
    }
    sizes: dict[str, Any] = {"patch_size": [16, 16], "batch_size": 2}
    given = {name: value for name, value in changes.items() if name in sizes}
    architecture = {"arch_kwargs": net | {name: value for name, value in changes.items() if name not in sizes}}
    return {"configurations": {"2d": sizes | given | {"architecture": architecture}}}


@dataclass(frozen=True, kw_only=True)
class Recorded(Bench):
    """Commands are kept, by what they were for; a plan that is asked for is small."""

    given: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def autoseg(self, dataset: str, what: str, *arguments: str, cores: Sequence[int] = ()) -> float:
        self.given[what] = arguments
        if "--plan" in arguments:
            save_json(self.place.plan_file(dataset, arguments[arguments.index("--plan") + 1]), small.plan())
        return 0.0

    def nnunet(self, dataset: str, what: str, verb: str, *arguments: str, cores: Sequence[int] = ()) -> float:
        self.given[what] = arguments
        (self.place.root / "nnunet").mkdir(exist_ok=True)
        return 0.0
