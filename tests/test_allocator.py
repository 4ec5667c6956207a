"""Freed memory is reused where the C library has a setting for it."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parent.parent / "workflow" / "scripts"
ENVIRONMENT = os.environ | {"PYTHONPATH": str(SCRIPTS)}
PROGRAM = """
import resource, torch
from bigart.running.allocator import keep_freed_memory
kept = {keep} and keep_freed_memory(2**28)
def work():
    for _ in range(20):
        torch.ones(2**24)
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has the setting")
def test_pages_are_reused() -> None:
    faults = {}
    for keep in (False, True):
        command = [sys.executable, "-c", PROGRAM.format(keep=keep)]
        done = subprocess.run(
            command, env=ENVIRONMENT, capture_output=True, text=True, check=True, timeout=120
        )
        faults[keep] = int(done.stdout)
    assert faults[False] > 1000
    assert faults[True] < 100
