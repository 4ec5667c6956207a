"""From a final picture alone back to the picture: its recipe has the row and the config."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from projects import Project


@pytest.mark.exhaustive
@pytest.mark.parametrize("artwork", ["lake", "villa"])  # the latter without detail, at the defaults
def test_a_picture_is_painted_again_from_its_recipe_to_the_byte(
    tiny: Project, artwork: str, tmp_path: Path
) -> None:
    project = Project(tmp_path / "again", tiny.folder)
    final, kept = project.folder / f"results/{artwork}/final.png", tmp_path / "final.png"
    final.rename(kept)
    for name in ("results", ".snakemake"):
        shutil.rmtree(project.folder / name)
    for name in ("config.yaml", "prompts.tsv"):
        (project.folder / "config" / name).unlink()
    script = project.folder / "workflow/scripts/show_recipe.py"
    command = [sys.executable, script, "--row", kept]
    done = subprocess.run(command, cwd=project.folder, capture_output=True, text=True, check=True)
    table, line, config = done.stdout.partition("# config/config.yaml\n")
    assert line
    project.table.write_text(table)
    (project.folder / "config/config.yaml").write_text(config)
    project.snakemake(f"results/{artwork}/final.png")
    assert final.read_bytes() == kept.read_bytes()
