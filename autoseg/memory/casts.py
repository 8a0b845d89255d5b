"""What CUDA's autocast does to the arguments of torch's functions, on any device.

The table is torch's own (torch/include/ATen/autocast_mode.h of 2.13), by the names that functions have there; a test compares the two,
and `python -m benchmarks.gpu dtypes` compares it with what a GPU really returns.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

HALF, FP32, FP32_RESULT, WIDEST = "half", "fp32", "fp32 result", "widest"

#: How arguments are cast -> names in autocast_mode.h.
TABLE: dict[str, tuple[str, ...]] = {
    # AT_FORALL_LOWER_PRECISION_FP: matrix products and convolutions, which tensor cores compute.
    HALF: (
        "_convolution", "conv1d", "conv2d", "conv3d", "conv_tbc", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "convolution",
        "prelu", "addmm", "addmv", "addr", "matmul", "einsum", "mm", "mv", "linalg_vecdot", "linear", "addbmm", "baddbmm", "bmm",
        "chain_matmul", "linalg_multi_dot", "_thnn_fused_lstm_cell", "_thnn_fused_gru_cell", "lstm_cell", "gru_cell", "rnn_tanh_cell",
        "rnn_relu_cell", "_scaled_dot_product_flash_attention", "scaled_dot_product_attention",
    ),
    # AT_FORALL_FP32, and norm of AT_FORALL_DIFFERENT_REDISPATCH_SIGNATURE.
    FP32: (
        "acos", "asin", "cosh", "erfinv", "exp", "expm1", "log", "log10", "log2", "log1p", "reciprocal", "rsqrt", "sinh", "tan", "pow",
        "softplus", "layer_norm", "native_layer_norm", "rms_norm", "group_norm", "frobenius_norm", "nuclear_norm", "cosine_similarity",
        "poisson_nll_loss", "cosine_embedding_loss", "nll_loss", "nll_loss2d", "hinge_embedding_loss", "kl_div", "l1_loss",
        "smooth_l1_loss", "huber_loss", "mse_loss", "margin_ranking_loss", "multilabel_margin_loss", "soft_margin_loss",
        "triplet_margin_loss", "multi_margin_loss", "binary_cross_entropy_with_logits", "dist", "pdist", "cdist", "renorm", "logsumexp",
        "upsample_nearest1d", "_upsample_nearest_exact1d", "upsample_nearest2d", "_upsample_nearest_exact2d", "upsample_nearest3d",
        "_upsample_nearest_exact3d", "upsample_linear1d", "upsample_bilinear2d", "_upsample_bilinear2d_aa", "upsample_trilinear3d",
        "upsample_bicubic2d", "_upsample_bicubic2d_aa", "norm",
    ),
    # AT_FORALL_FP32_SET_OPT_DTYPE: arguments stay as they are, the result is asked for in fp32.
    FP32_RESULT: (
        "prod", "softmax", "log_softmax", "cumprod", "cumsum", "linalg_vector_norm", "linalg_matrix_norm", "sum",
    ),
    # AT_FORALL_PROMOTE: all arguments to the widest of them.
    WIDEST: (
        "addcdiv", "addcmul", "atan2", "bilinear", "cross", "dot", "vdot", "grid_sampler", "index_put", "tensordot", "scatter_add",
    ),
}  # fmt: skip

#: Functions written in Python, which a mode sees instead of what they call: what they call. F.interpolate's "area", an average pooling
#: that no net here uses, would not be cast.
CALLS: dict[Any, str] = {
    F.interpolate: "upsample_bilinear2d",
    F.grid_sample: "grid_sampler",
    F.cross_entropy: "log_softmax",
    Tensor.__matmul__: "matmul",
    Tensor.__rmatmul__: "matmul",
    Tensor.__pow__: "pow",
    Tensor.__rpow__: "pow",
    torch.linalg.vecdot: "linalg_vecdot",
    torch.linalg.multi_dot: "linalg_multi_dot",
    torch.linalg.vector_norm: "linalg_vector_norm",
    torch.linalg.matrix_norm: "linalg_matrix_norm",
}


def _functions(name: str) -> Iterable[Any]:
    for place in (torch, F, torch._C._nn, Tensor):
        function = getattr(place, name, None)
        if function is not None:
            yield function


#: Function -> how its arguments are cast; a function that is not here takes them as they are.
POLICY: dict[Any, str] = {function: how for how, names in TABLE.items() for name in names for function in _functions(name)}
POLICY |= {function: how for function, name in CALLS.items() for how, names in TABLE.items() if name in names}
#: cross_entropy has no dtype to ask for: the log_softmax inside it returns fp32.
POLICY[F.cross_entropy] = FP32


class CudaCasts(TorchFunctionMode):
    """CUDA's autocast policy on any device: casts arguments by a table of functions, the casts of weights kept for the whole forward.

    Parameters
    ----------
    half : torch.dtype
        float16 or bfloat16.
    """

    def __init__(self, half: torch.dtype) -> None:
        super().__init__()
        self.half = half
        self.weights: dict[int, Tensor] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        how = POLICY.get(func)
        if how == FP32_RESULT and args and _castable(args[0]) and kwargs.get("dtype") is None:
            kwargs = {**kwargs, "dtype": torch.float32}
        elif how in (HALF, FP32, WIDEST):
            dtype = self.half if how == HALF else torch.float32 if how == FP32 else _widest((*args, *kwargs.values()))
            args = tuple(self._cast(value, dtype) for value in args)
            kwargs = {name: self._cast(value, dtype) for name, value in kwargs.items()}
        return func(*args, **kwargs)

    def _cast(self, value: Any, dtype: torch.dtype) -> Any:
        if isinstance(value, (list, tuple)) and any(isinstance(item, Tensor) for item in value):
            return type(value)(self._cast(item, dtype) for item in value)
        if not _castable(value) or value.dtype == dtype:
            return value
        if dtype != self.half or not (value.is_leaf and value.requires_grad):
            return value.to(dtype)
        if id(value) not in self.weights:
            self.weights[id(value)] = value.to(dtype)
        return self.weights[id(value)]


def _castable(value: Any) -> bool:
    """Autocast leaves integers and fp64 alone."""
    return isinstance(value, Tensor) and value.is_floating_point() and value.dtype != torch.float64


def _widest(values: Iterable[Any]) -> torch.dtype:
    flat = [tensor for value in values for tensor in (value if isinstance(value, (list, tuple)) else [value]) if _castable(tensor)]
    return reduce(torch.promote_types, (tensor.dtype for tensor in flat), flat[0].dtype if flat else torch.float32)
