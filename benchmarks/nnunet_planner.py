"""The other side of benchmarks/decathlon.py: nnU-Net's own planner on described data sets. Run by it, with nnU-Net's own Python.

    VENV/bin/python benchmarks/nnunet_planner.py FOLDER SETS.json

SETS.json: name -> {cases, channels, classes, shape, spacing}. Writes FOLDER/plans.json: name -> GB -> configuration -> {spacing, shape,
patch, batch, features, strides, kernels}. Imports nothing of autoseg, changes nothing of nnU-Net: it is given the fingerprint that its
extraction would have written of cases that are all alike.
"""

from __future__ import annotations

import argparse
import json
import os
from importlib import import_module
from pathlib import Path
from typing import Any

PLANNER = "nnunetv2.experiment_planning.experiment_planners.default_experiment_planner"
MEMORY_GB = (8, 32)
ALIKE = {"max": 1.0, "mean": 0.5, "median": 0.5, "min": 0.0, "percentile_00_5": 0.0, "percentile_99_5": 1.0, "std": 0.1}


def main() -> None:
    """Plan every set for every budget."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("sets", type=Path)
    given = parser.parse_args()
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        # Read when nnU-Net is imported.
        os.environ[name] = str(given.folder / name)
    sets = json.loads(given.sets.read_text())
    plans = {name: {gb: plan(given.folder, number, facts, gb) for gb in MEMORY_GB} for number, (name, facts) in enumerate(sets.items(), 1)}
    (given.folder / "plans.json").write_text(json.dumps(plans, indent=1))


def plan(folder: Path, number: int, facts: dict[str, Any], memory_gb: int) -> dict[str, Any]:
    """nnU-Net's 3D configurations of one set."""
    name = f"Dataset{number:03d}_Described"
    raw, prepared = folder / "nnUNet_raw" / name, folder / "nnUNet_preprocessed" / name
    raw.mkdir(parents=True, exist_ok=True)
    prepared.mkdir(parents=True, exist_ok=True)
    cases = [f"case{i:03d}" for i in range(facts["cases"])]
    channels = range(facts["channels"])
    dataset = {
        "channel_names": {str(c): "MRI" for c in channels},
        "labels": {"background": 0, **{f"class {k}": k + 1 for k in range(facts["classes"])}},
        "numTraining": len(cases),
        "file_ending": ".nii.gz",
        "overwrite_image_reader_writer": "SimpleITKIO",
        "dataset": {case: {"images": [f"{case}_{c:04d}.nii.gz" for c in channels], "label": f"{case}.nii.gz"} for case in cases},
    }
    fingerprint = {
        "spacings": [facts["spacing"]] * len(cases),
        "shapes_after_crop": [facts["shape"]] * len(cases),
        "foreground_intensity_properties_per_channel": {str(c): ALIKE for c in channels},
        "median_relative_size_after_cropping": 1.0,
    }
    (raw / "dataset.json").write_text(json.dumps(dataset))
    (prepared / "dataset_fingerprint.json").write_text(json.dumps(fingerprint))
    planner = import_module(PLANNER).ExperimentPlanner(number, gpu_memory_target_in_gb=memory_gb)
    configurations = planner.plan_experiment()["configurations"]
    found = {key: value for key, value in configurations.items() if key in ("3d_fullres", "3d_lowres")}
    return {key: described(value) for key, value in found.items()} | ({"cascade": True} if "3d_cascade_fullres" in configurations else {})


def described(configuration: dict[str, Any]) -> dict[str, Any]:
    """What is compared of a configuration."""
    net = configuration["architecture"]["arch_kwargs"]
    return {
        "spacing": [float(s) for s in configuration["spacing"]],
        "shape": [float(n) for n in configuration["median_image_size_in_voxels"]],
        "patch": [int(p) for p in configuration["patch_size"]],
        "batch": int(configuration["batch_size"]),
        "features": net["features_per_stage"],
        "strides": net["strides"],
        "kernels": net["kernel_sizes"],
    }


if __name__ == "__main__":
    main()
