"""How much of the time many artworks spend in the networks, and not in starting and loading.

    python benchmarks/artworks.py --artworks 20 --jobs 1 2 3

On one device. It paints the artworks anew for each number of jobs that may use a GPU at once, and
reads in the stages' logs how long the networks took. Where there is no GPU the CPU is the device,
which several jobs do not share: then `--jobs 1` is all there is to measure. `--config` is
Snakemake's.
"""

import argparse
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from project import ROOT, snakemake, write_project

sys.path.insert(0, str(ROOT / "workflow/scripts"))

from bigart.running.device import NETWORK_TOOK

PROMPTS = (
    "a painting of a sunset over a lake",
    "a painting of a forest in autumn",
    "a seascape with crashing waves",
    "a painting of a village at night",
)
NETWORK = re.compile(re.escape(NETWORK_TOOK).replace(r"%\.1f", r"([\d.]+)"))


def paint(
    folder: Path,
    artworks: int,
    jobs: int,
    cores: int,
    config: list[str],
    timeout: float | None = None,
) -> float:
    """Paint that many artworks; return the seconds it took.

    Raises:
        subprocess.TimeoutExpired: They took longer than ``timeout`` seconds; the jobs were ended.
    """
    rows = [(f"artwork-{i}", PROMPTS[i % len(PROMPTS)], i) for i in range(artworks)]
    write_project(folder, ("artwork", "prompt", "seed"), rows)
    start = time.perf_counter()
    run = subprocess.Popen(
        snakemake(folder, cores, jobs, "--config", *config),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        said, _ = run.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        run.terminate()  # Snakemake ends its jobs
        run.communicate()
        raise
    if run.returncode:
        sys.exit(said)
    return time.perf_counter() - start


def in_networks(folder: Path) -> float:
    """Return the seconds that the networks took, by the stages' logs."""
    logs = [path.read_text(encoding="utf-8") for path in folder.glob("results/*/log/*.log")]
    assert any(NETWORK.search(log) for log in logs)
    return sum(float(took) for log in logs for took, _ in NETWORK.findall(log))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--artworks", type=int, default=20)
    parser.add_argument("--jobs", type=int, nargs="+", default=[1], help="for a GPU: 1 2 3")
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    parser.add_argument("--config", nargs="+", default=["steps=60", "upsample_steps=4"])
    a = parser.parse_args()
    print(f"{platform.machine()}, {a.cores} cores, {a.artworks} artworks, {' '.join(a.config)}\n")
    print("| jobs at a device | an artwork | in the networks |")
    print("|---|---|---|")
    for jobs in a.jobs:
        with tempfile.TemporaryDirectory() as folder:
            seconds = paint(Path(folder), a.artworks, jobs, a.cores, a.config)
            share = 100 * in_networks(Path(folder)) / seconds
        print(f"| {jobs} | {seconds / a.artworks:.1f} s | {share:.0f} % |", flush=True)


if __name__ == "__main__":
    main()
