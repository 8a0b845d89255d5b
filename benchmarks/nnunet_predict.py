"""The other side of benchmarks/predict.py: nnU-Net's own prediction. Run by it, with the Python of nnU-Net's own environment.

    VENV/bin/python -P benchmarks/nnunet_predict.py FOLDER --edge 2048 --patch 512 --classes 30 --processes 1

Imports nothing of autoseg. Reads FOLDER/in/*_0000.png and writes FOLDER/nnunet/*.png with nnU-Net's `predict_from_files`, a network of
fresh weights made by its own code from its plans, step 0.5. Prints what it is as one line of JSON, then predicts the folder for every line
that it reads, and prints seconds: of all of it, of the sliding window alone, and of processor time (its workers' included).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import torch


def main() -> None:
    """Serve predictions until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--edge", type=int, required=True)
    parser.add_argument("--patch", type=int, required=True)
    parser.add_argument("--classes", type=int, required=True)
    parser.add_argument("--processes", type=int, default=1, help="that read, and as many that write")
    parser.add_argument("--tta", action="store_true")
    given = parser.parse_args()
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        os.environ[name] = str(given.folder)
    # What nnU-Net and its workers print must not mix with the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    one = predictor(given)
    tiles = len(one._internal_get_sliding_window_slicers((1, given.edge, given.edge)))
    parameters = sum(p.numel() for p in one.network.parameters())
    version = import_module("importlib.metadata").version("nnunetv2")
    about = {"nnunetv2": version, "torch": torch.__version__, "parameters": parameters, "tiles": tiles, "flips": 4 if given.tta else 1}
    print(json.dumps(about), file=answers, flush=True)
    window = Stopwatch(one.predict_logits_from_preprocessed_data)
    one.predict_logits_from_preprocessed_data = window
    for _ in sys.stdin:
        window.seconds, start, used = 0.0, time.perf_counter(), processor_s()
        one.predict_from_files(
            str(given.folder / "in"), str(given.folder / "nnunet"), overwrite=True,
            num_processes_preprocessing=given.processes, num_processes_segmentation_export=given.processes,
        )  # fmt: skip
        print(json.dumps([time.perf_counter() - start, window.seconds, processor_s() - used]), file=answers, flush=True)


def processor_s() -> float:
    """Seconds of processor time of this process and of those that it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class Stopwatch:
    """Adds up the seconds of calls."""

    def __init__(self, function: Any) -> None:
        self.function, self.seconds = function, 0.0

    def __call__(self, *args: Any, **named: Any) -> Any:
        start = time.perf_counter()
        try:
            return self.function(*args, **named)
        finally:
            self.seconds += time.perf_counter() - start


def predictor(given: argparse.Namespace) -> Any:
    """nnU-Net's predictor on the CPU with a network of its plans."""
    sys.path.append(str(Path(__file__).parent))
    plans_of = import_module("nnunet_step").plans
    made = import_module("nnunetv2.inference.predict_from_raw_data").nnUNetPredictor(
        tile_step_size=0.5, use_mirroring=given.tta, perform_everything_on_device=False, device=torch.device("cpu"), allow_tqdm=False
    )
    dataset = {
        "channel_names": {"0": "X-ray"},
        "labels": {"background": 0} | {f"bone {k}": k for k in range(1, given.classes + 1)},
        "numTraining": 100,
        "file_ending": ".png",
    }
    plans = plans_of([given.patch] * 2, 1)
    plans["image_reader_writer"] = "NaturalImage2DIO"
    plans["foreground_intensity_properties_per_channel"] = {"0": {}}
    plans["transpose_forward"] = plans["transpose_backward"] = [0, 1, 2]
    seg = {"is_seg": True, "order": 1, "order_z": 0, "force_separate_z": None}
    plans["configurations"]["2d"] |= {
        "resampling_fn_data": "resample_data_or_seg_to_shape", "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": {**seg, "is_seg": False, "order": 3}, "resampling_fn_seg_kwargs": seg,
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": {**seg, "is_seg": False},
    }  # fmt: skip
    manager = import_module("nnunetv2.utilities.plans_handling.plans_handler").PlansManager(plans)
    configuration = manager.get_configuration("2d")
    torch.manual_seed(0)
    network = import_module("nnunetv2.utilities.get_network_from_plans").get_network_from_plans(
        configuration.network_arch_class_name, configuration.network_arch_init_kwargs,
        configuration.network_arch_init_kwargs_req_import, 1, given.classes + 1, allow_init=True, deep_supervision=False,
    )  # fmt: skip
    made.manual_initialization(network.eval(), manager, configuration, [network.state_dict()], dataset, "nnUNetTrainer", (0, 1))
    return made


if __name__ == "__main__":
    main()
