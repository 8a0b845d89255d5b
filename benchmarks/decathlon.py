"""The table of docs/volumes.md: what is planned for the Decathlon's ten sets on a V100, beside nnU-Net's plans, with both's traced memory.

    python -m benchmarks.decathlon --nnunet VENV FOLDER     print the table
    python -m benchmarks.decathlon --golden                 write tests/planners/decathlon.json, which the tests compare plans with

Both planners get the same published numbers (tests/planners/decathlon.py). nnU-Net's nets are traced by the same tracer, with the
recipe, the casts and the allowances of ours: what differs is what was planned.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from autoseg.budget import GIB, named_gpu
from autoseg.plan import Network, Plan, Stage
from autoseg.planners import Request, make_plan
from autoseg.planners.default import tracer_of
from autoseg.planners.search import Traces
from autoseg.planners.stages import covered
from tests.planners.decathlon import DECATHLON, GOLDEN, GPU, described, golden_entry

HEAD = "| set | planner | stage | median image | spacing, mm | patch | batch | pools by | covers | traced GiB |"


def main() -> None:
    """Print, or write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="of nnU-Net's files")
    parser.add_argument("--nnunet", type=Path, help="virtual environment of nnunetv2==2.8.1")
    parser.add_argument("--golden", action="store_true")
    given = parser.parse_args()
    theirs = {} if given.nnunet is None else nnunet_plans(given.nnunet, given.folder)
    golden = []
    traces: Traces = {}
    print(f"{HEAD}\n|{'---|' * 10}")
    for name in DECATHLON:
        plan = make_plan(described(name), named_gpu(GPU), Request(traces=traces))
        volumes = [stage for stage in plan.stages.values() if stage.name.startswith("3d")]
        golden += [golden_entry(name, stage) for stage in volumes]
        for stage in volumes:
            print(line(name, "autoseg", stage), flush=True)
        for gb, configurations in theirs.get(name, {}).items():
            for stage in nnunet_stages(configurations, plan, traces):
                print(line(name, f"nnU-Net, {gb} GB", stage), flush=True)
    if given.golden:
        GOLDEN.write_text(json.dumps(golden, indent=1) + "\n")


def nnunet_plans(venv: Path, folder: Path) -> dict[str, Any]:
    """What nnU-Net's planner makes of the same numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    sets = folder / "sets.json"
    sets.write_text(json.dumps({name: asdict(published) for name, published in DECATHLON.items()}))
    script = Path(__file__).with_name("nnunet_planner.py")
    subprocess.run([venv / "bin/python", script, folder, sets], check=True, stdout=subprocess.DEVNULL)
    plans: dict[str, Any] = json.loads((folder / "plans.json").read_text())
    return plans


def nnunet_stages(configurations: dict[str, Any], plan: Plan, traces: Traces) -> list[Stage]:
    """nnU-Net's configurations as stages of ours, with their traced memory. Its cascade adds a channel for each class."""
    base, tracer = plan.stages["3d_fullres"], tracer_of(plan, traces)
    found = []
    for name, given in configurations.items():
        if name == "cascade":
            continue
        network = Network(
            in_channels=base.network.in_channels, num_heads=base.network.num_heads, features=tuple(given["features"]),
            strides=tuple(map(tuple, given["strides"])), kernels=tuple(map(tuple, given["kernels"])),
        )  # fmt: skip
        stage = replace(
            base, name=name, spacing=tuple(given["spacing"]), image_shape=tuple(round(n) for n in given["shape"]),
            patch=tuple(given["patch"]), batch=given["batch"], network=network, checkpointed_stages=0,
        )  # fmt: skip
        found.append(replace(stage, memory=tracer.memory(stage)))
    return found


def line(name: str, planner: str, stage: Stage) -> str:
    """A row of the table."""
    pools = [str(p) for p in stage.network.multiple]
    twice = f" ({stage.checkpointed_stages} stages twice)" if stage.checkpointed_stages else ""
    grid = by(f"{s:.3g}" for s in stage.net_spacing)
    cells = [
        name, planner, stage.name, by(stage.net_shape), grid, by(stage.patch) + twice, str(stage.batch), by(pools), f"{covered(stage):.0%}",
        f"{stage.memory.peak_bytes / GIB:.1f}",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def by(sizes: Sequence[object] | Any) -> str:
    """Sizes as they are read aloud."""
    return " x ".join(map(str, sizes))


if __name__ == "__main__":
    main()
