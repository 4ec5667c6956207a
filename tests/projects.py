"""Projects that tests paint: checkouts with a small table, and Snakemake run in them."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
PATH = "/usr/bin:/bin"
PARTS = ["Snakefile", "workflow", "config", "envs", "profiles", "models"]

TABLE = """\
artwork\tprompt\tseed\tchoose\tdetail
lake\ta painting of a sunset over a lake\t3\t2\tyes
villa\tan "Italian" villa; $HOME `ls` 'é' 🎨\t\t\tno
"""
SETTINGS = {"candidates": 2, "steps": 4, "upsample_steps": 3, "texture_amount": 0.05}


def snakemake_in(
    folder: Path,
    *arguments: str,
    check: bool = True,
    cores: int = 2,
    gpus: int = 1,
    python: str | Path = sys.executable,
    variables: Mapping[str, str] | None = None,
    before: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    command = [*before, str(python), "-m", "snakemake", *arguments, "--cores", str(cores)]
    environment = {**os.environ, "PATH": PATH, "OMP_NUM_THREADS": "2", **(variables or {})}
    done = subprocess.run(
        [*command, "--resources", f"gpu={gpus}"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


class Project:
    """A checkout with a small table."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        for part in PARTS:
            source = ROOT / part
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", ".*")
                shutil.copytree(source, folder / part, ignore=ignored)
            else:
                shutil.copy(source, folder / part)
        config = yaml.safe_load((folder / "config/config.yaml").read_text())
        (folder / "config/config.yaml").write_text(yaml.safe_dump(config | SETTINGS))
        self.table.write_text(TABLE)

    @property
    def table(self) -> Path:
        return self.folder / "config/prompts.tsv"

    def snakemake(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return snakemake_in(self.folder, *arguments, **options)

    def jobs(self, *arguments: str) -> set[str]:
        """What would run, as "rule artwork" or "rule model"."""
        done = self.snakemake("--dry-run", *arguments)
        found = set()
        for block in re.split(r"\n(?=\[|Job stats)", done.stdout + done.stderr):
            rule = re.search(r"^(?:local)?rule (\w+):", block, re.MULTILINE)
            subject = re.search(r"wildcards: .*?(?:artwork|model)=([\w.-]+)", block)
            if rule and subject:
                found.add(f"{rule[1]} {subject[1]}")
        return found

    def edit(self, cell: str, row: str, column: str) -> None:
        lines = [line.split("\t") for line in self.table.read_text().splitlines()]
        if column not in lines[0]:
            lines = [[*line, column if i == 0 else ""] for i, line in enumerate(lines)]
        for line in lines[1:]:
            if line[0] == row:
                line[lines[0].index(column)] = cell
        self.table.write_text("".join("\t".join(line) + "\n" for line in lines))
