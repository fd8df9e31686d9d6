"""How the C library keeps memory for the tensors of a CPU.

A training step frees what the next one asks for again. By default glibc gives large freed blocks
back to the system, which must clear and map every page of them anew: up to half of the time of
memory-bound layers.
"""

import ctypes
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of mallopt, as malloc.h numbers them
LARGEST_BLOCK = 32 * 2**20  # bytes; the most that glibc takes


def keep_freed_memory() -> None:
    """Lets this process keep up to 2 GiB of freed memory for its next step (glibc only)."""
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # other C libraries don't have it
        mallopt(MMAP_THRESHOLD, LARGEST_BLOCK)
        mallopt(TRIM_THRESHOLD, 2**31 - 1)
