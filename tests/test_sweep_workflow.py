"""A row that lists values, in the workflow: what is painted, the grids, what a new value adds."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bigart.metadata import picture_file
from bigart.pictures import images
from projects import COMMANDS, FILES, Project

# In the place of each stage: writes a small picture as each output
STUB = """
import sys
from pathlib import Path

sys.path.insert(0, {scripts!r})
import numpy as np

from bigart.metadata import picture_file, recipe

words = sys.argv[sys.argv.index("--out") + 1 :]
out = [Path(word) for word in words[: words.index("--log")] if word.startswith("results")]
made = recipe.extend(recipe.start(), "thumbnails", prompt="a lake", seed=1)
for path in out:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture_file.write_picture(path, np.full((64, 64, 3), 90, np.uint8), made)
"""
HEADER = "artwork\tprompt\tseed\tguidance\tformat\n"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose stages take no time, after `snakemake sweeps`."""
    made = Project(tmp_path_factory.mktemp("sweeps") / "checkout")
    scripts = made.folder / "workflow/scripts"
    for command in {*COMMANDS.values()} - {"preview.py"}:
        (scripts / command).write_text(STUB.format(scripts=str(scripts)))
    made.table.write_text(HEADER + "lake\ta lake; $HOME 'é' 🎨\t1..2\t2.5\tpng\nsea\tthe sea\n")
    made.snakemake("sweeps")
    return made


@pytest.fixture
def table(project: Project) -> Iterator[Path]:
    """Its table, which is put back afterwards."""
    before = project.table.read_bytes()
    yield project.table
    project.table.write_bytes(before)


def of(artwork: str) -> set[str]:
    """All stages, and the preview."""
    return {f"{rule} {artwork}" for rule in {*FILES, "preview"} - {"contact_sheet", "detailed"}}


def grids(project: Project, *arguments: str) -> int:
    done = project.snakemake("--dry-run", *arguments)
    return (done.stdout + done.stderr).count("\nrule sweep_grid:")


def test_the_grids_of_a_row_that_lists_values(project: Project) -> None:
    folder = project.folder / "results"
    assert {path.name for path in folder.iterdir()} == {"lake-seed-1", "lake-seed-2", "sweeps"}
    for shows in ("finals", "candidates"):
        path = folder / f"sweeps/lake/{shows}.png"
        assert (images.read_rgb(path) == 90).all(axis=2).sum() > 2 * 60 * 60
        stage = picture_file.read_recipe(path)["stages"][0]
        assert (stage["seed"], stage["prompt"]) == ("1|2", "a lake; $HOME 'é' 🎨")
    assert project.jobs("sweeps") == set()
    assert grids(project, "sweeps") == 0


def test_a_value_that_is_added_paints_that_one_only(project: Project, table: Path) -> None:
    table.write_text(table.read_text().replace("1..2", "1..2|7"))
    assert project.jobs("sweeps") >= of("lake-seed-7")
    assert {job.split()[1] for job in project.jobs("sweeps")} == {"lake-seed-7"}
    assert grids(project, "sweeps") == 2
    assert grids(project, "results/sweeps/lake/candidates.png") == 1
    table.write_text(table.read_text().replace("1..2|7", "2"))
    assert "lake" in {job.split()[1] for job in project.jobs("all")}  # an artwork of its own now


@pytest.mark.exhaustive
def test_moving_columns_and_writing_values_otherwise_changes_nothing(
    project: Project, table: Path
) -> None:
    lines = [line.split("\t") for line in table.read_text().replace("1..2", "1|2").splitlines()]
    moved = ["\t".join(line[2:3] + line[:2] + line[3:]) for line in lines[:2]]
    table.write_text("\n".join(moved))
    assert project.jobs("sweeps") == set()
    assert grids(project, "sweeps") == 0
    table.write_text("\n".join(moved).replace("1|2", "2|1"))  # another order on the sheet alone
    assert project.jobs("sweeps") == set()
    assert grids(project, "sweeps") == 2


def test_the_plain_run_paints_all_artworks_and_no_grid(project: Project) -> None:
    artworks = {job.split()[1] for job in project.jobs("--forceall")}
    assert artworks == {"lake-seed-1", "lake-seed-2", "sea"}
    assert grids(project, "--forceall") == 0


@pytest.mark.parametrize(
    ("rows", "target", "said"),
    [
        (
            "sea\tthe sea\n",
            "sweeps",
            "error: no row of config/prompts.tsv lists values",
        ),
        ("lake\ta\t1..3\n", "results/lake/final.png", "stands for lake-seed-1 to lake-seed-3."),
        ("lake\ta\t1..3\n", "results/sweeps/leke/finals.png", "Did you mean `lake`?"),
        ("lake\ta\t1..900\tx\n", "all", "found 900 values; allowed: at most 200 artworks a row"),
        ("sweeps\ta\n", "all", "column `artwork`: found 'sweeps'; allowed"),
    ],
)
def test_what_cannot_be_is_said(
    project: Project, table: Path, rows: str, target: str, said: str
) -> None:
    table.write_text(HEADER + rows)
    done = project.snakemake("--dry-run", target, check=False)
    told = done.stdout + done.stderr
    assert done.returncode != 0
    assert said in told
    assert "Traceback" not in told
