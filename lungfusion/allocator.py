"""Memory on a CPU: what a tensor held is kept for the next one, not handed back to the system."""

import ctypes
import platform

MALLOPT = {"M_TRIM_THRESHOLD": -1, "M_MMAP_THRESHOLD": -3, "M_ARENA_MAX": -8}  # glibc's malloc.h; man 3 mallopt
MOST = 2**31 - 1  # bytes, the largest value it takes


def keep_freed_memory():
    """Have glibc keep freed memory, in one pool for all threads; nothing happens where the C library is another.

    Else it gets the memory of every large tensor from the kernel anew, which clears it page by page: a batch of eight
    radiographs takes twice as long then, a training step a third longer. The price: the process keeps the most it ever
    needed.
    """
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(MALLOPT["M_TRIM_THRESHOLD"], MOST)
        mallopt(MALLOPT["M_MMAP_THRESHOLD"], MOST)
        mallopt(MALLOPT["M_ARENA_MAX"], 1)
