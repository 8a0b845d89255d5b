"""What devices multiply at most, by the names that the driver gives them."""

from __future__ import annotations

import re

from autoseg.budget import Precision

#: Part of torch.cuda.get_device_name() -> TFLOP/s with fp16 or bf16 in tensor cores and sums in fp32, and in fp32 as torch's convolutions
#: run: TF32 from Ampere on. Without sparsity, at boost clock. The first name that fits counts. From NVIDIA's data sheets (V100, T4, A10,
#: A100, L4, L40S, H100, H200) and its white papers on Turing, GA102 and Ada (GeForce).
PEAKS: tuple[tuple[str, float, float], ...] = (
    ("V100-SXM2", 125.0, 15.7),
    ("V100-SXM3", 125.0, 15.7),
    ("V100", 112.0, 14.0),
    ("T4", 65.0, 8.1),
    ("RTX 2080 Ti", 53.8, 13.4),
    ("RTX 3090", 71.0, 35.6),
    ("RTX 4090", 165.2, 82.6),
    ("A100", 312.0, 156.0),
    ("A10", 125.0, 62.5),
    ("L40S", 362.0, 183.0),
    ("L40", 181.0, 90.5),
    ("L4", 121.0, 60.0),
    ("H200", 989.4, 494.7),
    ("H100 PCIe", 756.0, 378.0),
    ("H100 NVL", 835.0, 417.5),
    ("H100", 989.4, 494.7),
)


def peak_flops(name: str, precision: Precision) -> float | None:
    """Operations per second at most; None for a device that is not in the table.

    >>> peak_flops("Tesla V100-SXM2-32GB", "fp16")
    125000000000000.0
    """
    for part, half, single in PEAKS:
        if re.search(rf"\b{re.escape(part)}(?!\w)", name):
            return 1e12 * (single if precision == "fp32" else half)
    return None
