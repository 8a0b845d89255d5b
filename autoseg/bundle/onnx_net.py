"""A net in onnxruntime that takes and gives tensors, in the place of torch's own."""

from __future__ import annotations

import importlib
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn

from autoseg.errors import UsageError

#: In every exported file: images (N, C, (Z,) Y, X) in, logits (N, H, (Z,) Y, X) out, both fp32.
INPUT, OUTPUT = "image", "logits"
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
INSTALL = "install it with pip install 'autoseg[export]'"


def needs(module: str) -> ModuleType:
    """Import a module of the extra [export].

    Raises
    ------
    UsageError
        If it is not installed, with the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise UsageError(f"ONNX needs {module}, which is not installed here; {INSTALL}.") from None


class OnnxNet(nn.Module):
    """A net as the sliding window calls one: a tensor in, a list with the logits out, on the tensor's device.

    Parameters
    ----------
    data : bytes
        The ONNX file.
    device : torch.device

    Raises
    ------
    UsageError
        If onnxruntime is missing, was built without the device, or cannot load the libraries for it.
    ValueError
        If the file is damaged or of another form than `onnx_export` writes.
    """

    def __init__(self, data: bytes, device: torch.device) -> None:
        super().__init__()
        runtime = needs("onnxruntime")
        provider = PROVIDERS[device.type]
        if provider not in runtime.get_available_providers():
            raise UsageError(f"this onnxruntime cannot compute on {device}: install onnxruntime-gpu, or say --device cpu.")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # its warnings tell of nodes that it moved
        place = (provider, {"device_id": device.index or 0}) if device.type == "cuda" else provider
        try:
            self.session = runtime.InferenceSession(data, options, providers=[place])
        except Exception as error:  # onnxruntime's own kinds have no common base
            raise ValueError(f"onnxruntime cannot load it ({str(error).splitlines()[0][:200]})") from None
        if provider not in self.session.get_providers():
            # What is built in is listed as available; what cannot be loaded is left out of the session without an error.
            raise UsageError(
                f"this onnxruntime could not load the libraries for {device} and would compute on the processor: install an "
                "onnxruntime-gpu for the CUDA and the cuDNN that are here, or say --device cpu."
            )
        names = [value.name for value in (*self.session.get_inputs(), *self.session.get_outputs())]
        if names != [INPUT, OUTPUT]:
            raise ValueError(f"it must take {INPUT} and give {OUTPUT}, and has {', '.join(names)[:200]}")

    def forward(self, image: Tensor) -> list[Tensor]:
        """[logits (N, H, ...)] of images (N, C, ...), fp32."""
        (logits,) = self.session.run([OUTPUT], {INPUT: np.ascontiguousarray(image.float().cpu().numpy())})
        return [torch.from_numpy(logits).to(image.device)]
