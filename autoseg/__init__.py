"""Medical image segmentation that configures itself.

`import autoseg` loads nothing heavy: each public name below is imported from its module at its first use, so that
`from autoseg import Predictor` costs what Predictor needs and no more.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autoseg.budget import Budget as Budget
    from autoseg.case import Case as Case
    from autoseg.checkpoint import Checkpoint as Checkpoint
    from autoseg.fingerprint import Fingerprint as Fingerprint
    from autoseg.geometry import Geometry as Geometry
    from autoseg.labels import LabelSpace as LabelSpace
    from autoseg.plan import Plan as Plan
    from autoseg.predictor import Predictor as Predictor
    from autoseg.recipe import Recipe as Recipe
    from autoseg.workspace import Workspace as Workspace

__version__ = "0.1.0"

_HOMES = {
    "Budget": "autoseg.budget",
    "Case": "autoseg.case",
    "Checkpoint": "autoseg.checkpoint",
    "Fingerprint": "autoseg.fingerprint",
    "Geometry": "autoseg.geometry",
    "LabelSpace": "autoseg.labels",
    "Plan": "autoseg.plan",
    "Predictor": "autoseg.predictor",
    "Recipe": "autoseg.recipe",
    "Workspace": "autoseg.workspace",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'autoseg' has no attribute {name!r}; its public names are {', '.join(_HOMES)}")
    value: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value  # the next use finds it without this function
    return value


def __dir__() -> list[str]:
    return ["__version__", *_HOMES]
