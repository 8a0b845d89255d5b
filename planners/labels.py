"""What a net tells apart, and whether classes exclude each other."""

from __future__ import annotations

from autoseg.fingerprint import Fingerprint
from autoseg.labels import LabelSpace

#: Pixels that two classes share, as a share of the smaller one, up to which they count as neighbours: polygons that touch are drawn
#: over each other by a pixel. More is overlap.
TOUCHING = 1e-3


def decide_labels(fingerprint: Fingerprint) -> tuple[LabelSpace, str]:
    """Exclusive classes (softmax) unless two of them overlap by more than `TOUCHING` of the smaller; and the reason.

    Declared regions, values of an integer map that stand for several classes, overlap by definition.
    """
    classes = fingerprint.classes
    regions = [f"{value} stands for {', '.join(names)}" for value, names in fingerprint.values.items() if len(names) > 1]
    if regions:
        return _space(fingerprint, exclusive=False), f"overlapping: the data set declares regions (value {regions[0]})"
    if len(classes) == 1:
        return _space(fingerprint, exclusive=True), "exclusive: there is one class"
    share, a, b = largest_overlap(fingerprint)
    pair = f"{classes[a]} and {classes[b]}"
    if share > TOUCHING:
        return _space(fingerprint, exclusive=False), f"overlapping: {pair} share {share:.1%} of the smaller one's pixels"
    if share > 0:
        return _space(
            fingerprint, exclusive=True
        ), f"exclusive: no two classes share more than {share:.2%} of the smaller one's pixels ({pair})"
    return _space(fingerprint, exclusive=True), "exclusive: no two classes share a pixel"


def largest_overlap(fingerprint: Fingerprint) -> tuple[float, int, int]:
    """The largest share of the smaller class's pixels that two classes have in common, and the two."""
    counts = fingerprint.overlap
    pairs = [(a, b) for a in range(len(counts)) for b in range(a)]
    shares = [(counts[a][b] / max(1, min(counts[a][a], counts[b][b])), b, a) for a, b in pairs]
    return max(shares)


def _space(fingerprint: Fingerprint, *, exclusive: bool) -> LabelSpace:
    classes = fingerprint.classes
    if not exclusive:
        return LabelSpace(classes=classes, exclusive=False, has_ignore=fingerprint.has_ignore)
    declared = {names[0]: value for value, names in fingerprint.values.items() if len(names) == 1}
    given = set(declared) == set(classes)
    values = tuple(declared[name] for name in classes) if given else tuple(range(1, len(classes) + 1))
    return LabelSpace(classes=classes, exclusive=True, values=values, has_ignore=fingerprint.has_ignore)
