"""Freed memory stays with the process that has asked for that."""

import subprocess
import sys

import pytest

FREES = """
import sys
import torch
from ctm.allocator import keep_freed_memory

def resident():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) // 1024

if sys.argv[1] == "keep":
    keep_freed_memory()
before = resident()
blocks = [torch.ones(2**22) for _ in range(10)]  # 16 MiB each
del blocks
print(resident() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="measured on Linux")
@pytest.mark.parametrize(("how", "kept"), [("keep", True), ("leave", False)])
def test_freed_blocks_are_kept_where_asked_for(how: str, kept: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FREES, how], capture_output=True, text=True, check=True
    )
    assert (int(done.stdout) > 100) is kept  # MiB of 160
