"""The benchmark of the workflow runs; its figures are in docs/performance.md."""

import re
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def test_results_recorded_as_made_leave_nothing_to_do() -> None:
    command = [sys.executable, str(BENCHMARKS / "workflow.py"), "--artworks", "3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\| 3 \| \d+\.\d s ", done.stdout, re.MULTILINE)
