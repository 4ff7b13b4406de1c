"""Within what the same log gives the same bytes."""

from __future__ import annotations

import platform

import numpy as np


def fingerprint() -> dict[str, str]:
    """Within which the same log gives the same bytes: versions, CPU capability, threads."""
    import torch  # here, so that who only reads snapshots need not have it: it takes seconds to import

    return {
        "torch": torch.__version__,
        "numpy": np.__version__,
        "machine": platform.machine(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": str(torch.get_num_threads()),
    }


def fix_threads() -> None:
    """Make folding reproducible in this process: one thread, deterministic kernels. The worker calls it first."""
    import torch

    torch.set_num_threads(1)
    torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms imports the compiler: seconds, 160 MB
