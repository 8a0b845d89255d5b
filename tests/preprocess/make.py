"""A plan in which only what preprocessing reads matters, and a process that has its store in use."""

from typing import Any

from autoseg.budget import Budget
from autoseg.labels import LabelSpace
from autoseg.plan import Memory, Network, Normalization, Plan, Stage
from autoseg.recipe import recipe_for

ZSCORE = Normalization(kind="zscore")
#: A process (`tests.io.holding`) that reads the store of the first argument, or makes it again, as the second one says.
HOLDER = """
import sys, time
from pathlib import Path
from autoseg.preprocess.readers import reading, remaking
with reading(Path(sys.argv[1]), "default/2d/fold0") if sys.argv[2] == "reading" else remaking(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def stage(num_axes: int = 2, **changes: Any) -> Stage:
    """A stage that leaves pixels alone; the net's axes are the data's unless slices are cut."""
    n = num_axes - (changes.get("slice_axis") is not None)
    network = Network(in_channels=1, num_heads=2, features=(8, 16), strides=((1,) * n, (2,) * n), kernels=((3,) * n,) * 2)
    given: dict[str, Any] = {
        "name": "2d", "spacing": (1.0,) * num_axes, "resample": False, "image_shape": (16,) * num_axes, "patch": (16,) * n, "batch": 2,
        "network": network, "precision": "fp32", "memory": Memory(peak_bytes=1, budget_bytes=1), "iterations": 1,
        "iterations_per_epoch": 1, "recipe": recipe_for("dice_bce", 100), "priors": (0.1,),
    }  # fmt: skip
    return Stage(**{**given, **changes})


def plan(num_axes: int = 2, **changes: Any) -> Plan:
    """One grey channel, each image standardised by itself."""
    given: dict[str, Any] = {
        "name": "default", "dataset": "made", "fingerprint": "", "labels": LabelSpace(classes=("a", "b"), exclusive=False),
        "num_axes": num_axes, "unit": "pixel", "channels": (), "normalization": (ZSCORE,), "crop_to_nonzero": False,
        "budget": Budget(name="cpu", kind="cpu", memory_bytes=1), "stages": {"2d": stage(num_axes)},
    }  # fmt: skip
    return Plan(**{**given, **changes})
