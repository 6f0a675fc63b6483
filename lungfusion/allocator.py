"""Memory on a CPU: what a tensor held is kept for the next one, not handed back to the system."""

import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # of glibc's malloc.h; man 3 mallopt
MOST = 2**31 - 1  # bytes, the largest value it takes


def keep_freed_memory():
    """Have glibc keep freed memory, in one pool for all threads; nothing happens where the C library is another.

    Else it gets the memory of every large tensor from the kernel anew, which clears it page by page; that slows batches
    and training steps most. The price: the process keeps the most it ever needed.
    """
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_TRIM_THRESHOLD, MOST)
        mallopt(M_MMAP_THRESHOLD, MOST)
        mallopt(M_ARENA_MAX, 1)


def give_back_freed_memory():
    """Hand what glibc keeps back to the system, after a spell of work that needed much more than usual."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
