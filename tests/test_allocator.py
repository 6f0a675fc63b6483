"""Freed memory is kept for the next tensor: it is not fetched from the system a second time."""

import platform
import subprocess
import sys

import pytest

from lungfusion import allocator

COUNT = """
import resource, runpy, sys, torch
keep_freed_memory = runpy.run_path(sys.argv[1])["keep_freed_memory"]  # without the package, which takes a while
def fill():
    torch.empty(16, 2**20).fill_(1)  # 64 MiB
def faults():
    for _ in range(20):  # until there is a place that fits, aligned
        fill()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        fill()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults())
keep_freed_memory()
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator alone can be told so")
def test_pages_are_not_fetched_again():
    done = subprocess.run([sys.executable, "-c", COUNT, allocator.__file__], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert after < 100 < before
