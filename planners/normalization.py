"""How each channel becomes zero-mean, by nnU-Net's rules."""

from __future__ import annotations

from autoseg.fingerprint import Fingerprint
from autoseg.plan import Normalization

#: Crop to non-zero only if that saves at least this share of the pixels over the data set.
CROP_SAVES = 0.05


def decide_normalization(fingerprint: Fingerprint) -> tuple[tuple[Normalization, ...], str]:
    """One rule per channel: "ct" by the channel's name, "unit" for colour pictures, else "zscore"; and the reasons."""
    colour = is_colour(fingerprint)
    rules, reasons = [], []
    for c in range(fingerprint.num_channels):
        name = fingerprint.channels[c] if c < len(fingerprint.channels) else ""
        if name.strip().lower() == "ct" and c < len(fingerprint.foreground):
            facts = fingerprint.foreground[c]
            rules.append(
                Normalization(
                    kind="ct", lower=facts.percentile_00_5, upper=facts.percentile_99_5, mean=facts.mean, std=max(facts.std, 1e-8)
                )
            )
            reasons.append(f"channel {c} is declared CT: clipped to the foreground's 0.5 and 99.5 percentiles, global mean and deviation")
        elif colour:
            rules.append(Normalization(kind="unit"))
            reasons.append(f"channel {c} is a colour: its range is a fixed scale")
        else:
            rules.append(Normalization(kind="zscore"))
            reasons.append(f"channel {c}: each image's own mean and deviation, since the scale of {name or 'its values'} is not fixed")
    return tuple(rules), "; ".join(dict.fromkeys(reasons))


def is_colour(fingerprint: Fingerprint) -> bool:
    """True for colour pictures: three or four channels in one 8-bit file, not declared as anything but colours."""
    declared = {name.strip().lower() for name in fingerprint.channels}
    if not declared <= {"r", "g", "b", "a", "red", "green", "blue", "alpha", "rgb", "rgb_to_0_1", "rgbto01"}:
        return False
    return fingerprint.num_channels in (3, 4) and fingerprint.num_axes == 2 and all(case.dtype == "uint8" for case in fingerprint.cases)


def decide_crop(fingerprint: Fingerprint) -> tuple[bool, str]:
    """Whether cases are cut to the box of non-zero voxels, and why."""
    whole = kept = 0.0
    for case in fingerprint.cases:
        pixels = inside = 1.0
        for length, (start, stop) in zip(case.shape, case.nonzero_box, strict=True):
            pixels, inside = pixels * length, inside * (stop - start)
        whole, kept = whole + pixels, kept + inside
    saved = 1 - kept / whole
    done = "done" if saved >= CROP_SAVES else f"not done: it is from {CROP_SAVES:.0%} on"
    return saved >= CROP_SAVES, f"cutting to what is not zero would save {saved:.0%} of the pixels, {done}"
