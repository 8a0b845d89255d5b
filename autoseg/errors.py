"""The exceptions that autoseg raises on purpose. Every message names what was found, what is allowed and what to do next.

AutosegError            anything a user can mend; the command line prints it without a traceback and exits with `exit_code`
  UsageError            an option, a name or a folder that does not exist or does not fit
  DataError             raw data that cannot be read or contradicts itself; carries one problem per file
  FileFormatError       one of autoseg's own files is damaged, from a newer version, or holds unknown keys
  PlanError             a plan that cannot be made or built (a budget too small, a patch that does not divide)
  RunError              a training run that cannot start or continue (another plan, another recipe, in use elsewhere)
  DeviceError           a device that is absent or that this build of torch cannot use
"""

from __future__ import annotations

from collections.abc import Sequence


class AutosegError(Exception):
    """Base of all errors that a user can mend."""

    exit_code = 2
    #: What the command line puts before the message.
    prefix = "Error: "


class UsageError(AutosegError):
    """An option, a name or a folder does not exist or does not fit."""


class DataError(AutosegError):
    """Raw data cannot be read or contradicts itself.

    Parameters
    ----------
    problems : sequence of str
        One sentence per problem, each naming its file. All problems of a data set are reported at once.
    hint : str
        What to do next, said once below the list.
    """

    #: Problems printed in full; the rest are counted. A data set of 800 cases with the same fault stays readable.
    SHOWN = 40

    def __init__(self, problems: Sequence[str], hint: str = "") -> None:
        self.problems = tuple(problems)
        self.hint = hint
        super().__init__(self._message())

    def _message(self) -> str:
        if len(self.problems) == 1:
            lines = [self.problems[0]]
        else:
            lines = [f"{len(self.problems)} problems in the data:"]
            lines += [f"  {problem}" for problem in self.problems[: self.SHOWN]]
        hidden = len(self.problems) - self.SHOWN
        if hidden > 0:
            lines.append(f"  ... and {hidden} more")
        if self.hint:
            lines.append(self.hint)
        return "\n".join(lines)

    def __reduce__(self) -> tuple[type[DataError], tuple[tuple[str, ...], str]]:
        # Exceptions cross process borders by their constructor's arguments, not by the joined message.
        return type(self), (self.problems, self.hint)


class FileFormatError(AutosegError):
    """One of autoseg's own files is damaged, from a newer version, or holds unknown keys."""


class PlanError(AutosegError):
    """A plan cannot be made or cannot be built."""


class RunError(AutosegError):
    """A training run cannot start or continue."""


class DeviceError(AutosegError):
    """A device is absent, this build of torch cannot use it, or its memory ran out where nothing can be repeated."""


#: What a plain RuntimeError says when memory ran out: torch's allocator on a CPU (c10/core/impl/alloc_cpu.cpp), the CUDA runtime and driver
#: (c10/cuda/driver_api.h), cuDNN before and from version 9 on, and cuBLAS, none of which raise torch.OutOfMemoryError.
OUT_OF_MEMORY = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "CUDA error: out of memory",
    "CUDA driver error: out of memory",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED",
    "CUBLAS_STATUS_ALLOC_FAILED",
)
#: What a convolution on CUDA says whose workspaces found no room (Conv_v8.cpp), and just so one that cuDNN cannot compute at all.
NO_ENGINE = "unable to find an engine"
