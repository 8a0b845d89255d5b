"""The fingerprint: everything that is measured of a data set and of the machine. It decides nothing; the planners do."""

from autoseg.fingerprint.comparison import Arrangement, CasePose, ClassContext, Context, FlipLikeness, MirrorFit, NeighbourLikeness
from autoseg.fingerprint.facts import FINGERPRINT_VERSION, CaseFacts, ClassFacts, Fingerprint, Intensity
from autoseg.fingerprint.hardware import Gpu, Hardware, cpu_budget, detect_budget, hardware
from autoseg.fingerprint.measure import identity_of, measure

__all__ = [
    "FINGERPRINT_VERSION",
    "Arrangement",
    "CaseFacts",
    "CasePose",
    "ClassContext",
    "ClassFacts",
    "Context",
    "Fingerprint",
    "FlipLikeness",
    "Gpu",
    "Hardware",
    "Intensity",
    "MirrorFit",
    "NeighbourLikeness",
    "cpu_budget",
    "detect_budget",
    "hardware",
    "identity_of",
    "measure",
]
