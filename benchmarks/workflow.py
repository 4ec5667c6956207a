"""What the workflow itself costs at many artworks: a run with nothing to do, and one row more.

    python benchmarks/workflow.py --artworks 50 200 1000

For each number it makes a folder with a table and results of real size that hold nothing (and take
no room on the disk), in all records as if a run had made them. Then it times `snakemake --cores 8
--resources gpu=1`, which finds nothing to do, and, with a row added, the same as a dry run. No
network runs.
"""

import argparse
import asyncio
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

from project import ROOT, snakemake, write_project

PROMPT = "a painting of a red house beside a lake"
ALL_MADE = "Nothing to be done"
#: Checked in the records are files up to this size: the still empty pictures, not the models.
CHECKSUM_BYTES = 1000
#: First character of a picture's name -> bytes.
SIZES = dict.fromkeys("67f", 33_000_000)


@dataclass(frozen=True)
class Cost:
    """Seconds that a command took, and its peak bytes."""

    seconds: float
    peak: int


def make_folder(folder: Path, artworks: int) -> None:
    """Write config and table, and results that Snakemake takes for its own."""
    rows = [(f"artwork-{number}", PROMPT) for number in range(artworks)]
    write_project(folder, ("artwork", "prompt"), rows)
    subprocess.run([sys.executable, __file__, "--record", str(folder)], check=True)


def record(folder: Path) -> None:
    """Touch what every job would make, and record it as made; in a process of its own."""
    # the disk need not have room for the pictures
    setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=2**60))  # noqa: B010
    from snakemake.api import SnakemakeApi  # type: ignore[import-untyped]
    from snakemake.settings import types  # type: ignore[import-untyped]

    with SnakemakeApi(types.OutputSettings(quiet={types.Quietness.ALL})) as api:
        workflow_api = api.workflow(
            types.ResourceSettings(cores=1), snakefile=ROOT / "Snakefile", workdir=folder
        )
        dag_api = workflow_api.dag()
        dag_api.execute_workflow(executor="dryrun")
        workflow = workflow_api._workflow
        records = workflow.persistence
        records.max_checksum_file_size = CHECKSUM_BYTES
        now = time.time()
        for job in workflow.dag.jobs:
            for file in job.output:
                path = Path(file)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
                os.utime(path, (now, now))
        for job in workflow.dag.jobs:
            asyncio.run(records.finished(job))
    for log in Path("results").glob("*/log"):
        grow(log / "made.json", now)


def grow(record: Path, now: float) -> None:
    """Give the pictures of an artwork their real size, also in its record."""
    entries = json.loads(record.read_text(encoding="utf-8"))
    for name, entry in entries.items():
        path = record.parent.parent / name
        os.truncate(path, SIZES.get(name[0], 4_000_000))
        os.utime(path, (now, now))
        entry["size"], entry["time"] = path.stat().st_size, path.stat().st_mtime_ns
    record.write_text(json.dumps(entries), encoding="utf-8")


def cost(folder: Path, *options: str) -> tuple[Cost, str]:
    """Run the workflow in a folder; return what it took and what it said."""
    command = snakemake(folder, 8, 1, *options)
    with tempfile.TemporaryFile("w+") as said:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        text = said.read()
    if process.returncode:
        sys.exit(text)
    return Cost(seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)), text


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--artworks", type=int, nargs="+", default=[50, 200, 1000])
    parser.add_argument("--keep", type=Path, help="make the folders here, and leave them")
    parser.add_argument("--record", type=Path, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.record:
        record(a.record)
        return
    print(
        f"{platform.machine()}, Python {platform.python_version()}, "
        f"Snakemake {version('snakemake')}\n"
    )
    print("| artworks | nothing to do | per artwork | one row more | peak memory |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        for artworks in a.artworks:
            folder = Path(a.keep or temporary, str(artworks))
            if not folder.exists():
                folder.mkdir(parents=True)
                make_folder(folder, artworks)
            idle, said = cost(folder)
            if ALL_MADE not in said:
                sys.exit(f"there was something to do:\n{said}")
            table = folder / "config/prompts.tsv"
            before = table.read_text(encoding="utf-8")
            table.write_text(before + f"one-more\t{PROMPT}\n", encoding="utf-8")
            try:
                more, _ = cost(folder, "--dry-run", "--quiet")
            finally:
                table.write_text(before, encoding="utf-8")
            print(
                f"| {artworks} | {idle.seconds:.1f} s | {1000 * idle.seconds / artworks:.0f} ms "
                f"| {more.seconds:.1f} s | {max(idle.peak, more.peak) / 1e6:.0f} MB |",
                flush=True,
            )


if __name__ == "__main__":
    main()
