"""Freed memory is kept for the next tensor: it is not fetched from the system a second time."""

import platform
import subprocess
import sys

import pytest

COUNT = """
import resource, torch
from lungfusion.allocator import keep_freed_memory
{call}
def fill():
    torch.empty(16, 2**20).fill_(1)  # 64 MiB
for _ in range(20):  # until there is a place that fits, aligned
    fill()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    fill()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator alone can be told so")
def test_pages_are_not_fetched_again():
    faults = {}
    for call in ("", "keep_freed_memory()"):
        done = subprocess.run(
            [sys.executable, "-c", COUNT.format(call=call)], capture_output=True, text=True, check=True
        )
        faults[call] = int(done.stdout)
    assert faults["keep_freed_memory()"] < 100 < faults[""], faults
