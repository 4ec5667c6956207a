"""A project of its own for a benchmark: a folder with config and table, and Snakemake run in it."""

import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def write_project(folder: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write the shipped config and a table of these rows."""
    (folder / "config").mkdir()
    text = (ROOT / "config/config.yaml").read_text(encoding="utf-8")
    (folder / "config/config.yaml").write_text(text, encoding="utf-8")
    lines = ["\t".join(map(str, line)) + "\n" for line in (columns, *rows)]
    (folder / "config/prompts.tsv").write_text("".join(lines), encoding="utf-8")


def snakemake(folder: Path, cores: int, jobs: int, *options: str) -> list[str]:
    """Return the command that runs this checkout's workflow there, ``jobs`` of them on GPUs."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--directory", str(folder), *options]
    return [*command, "--cores", str(cores), "--resources", f"gpu={jobs}"]
