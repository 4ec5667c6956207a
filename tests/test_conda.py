"""`snakemake --sdm conda` from end to end: each rule in its own environment, with what it pins.

A stand-in (conda_stub.py) takes the place of conda, which is on no package index. Snakemake, too,
runs in an environment of its own, with nothing in it but Snakemake, pandas and pydantic.
"""

import asyncio
import json
import re
import sys
import threading
import venv
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from PIL import Image

import conda_stub
from bigart.metadata import picture_file
from bigart.pictures import images
from projects import PATH, ROOT, Project, add_models, missing
from test_environment import ENVIRONMENTS, OWN_ENVIRONMENTS, locked, pins, rules

pytestmark = pytest.mark.cluster

ARTWORKS = "artwork\tprompt\tsize\nlake\ta painting of a sunset over a lake\tauto|2000\n"
TARGETS = ("all", "gallery", "proofs", "sweeps")
# As far as the rules that the first table does not need
MORE_ARTWORKS = """\
artwork\tprompt\tpicture\tstrength\trepaint\tmask\tguide\tchoose\tsize
lake-size-auto\ta painting of a sunset over a lake\t\t\t\t\t\t\tauto
photo\ta lake\tmine.png\t\t\t\t\t\t64
over\ta sunset\tmine.png\t0.5\t\t\t\t\t
anew\ta sunset\t\t\tlake-size-auto\tmask.png\t\t\t
clip\ta sunset\t\t\t\t\tclip\tauto\t
"""
MORE_TARGETS = (
    "results/photo/6-enlarged-4096.png",
    "results/over/1-thumbnails/1.png",
    "results/anew/2-upsampled/1.png",
    "results/clip/2-chosen.png",
)

# Command and environment of every rule that paints with the native engine, but for the enlargement
# to 16384 pixels, which takes minutes and has the environment of the others
PAINTING = {
    (command, environment)
    for command, environment in rules()
    if not command.startswith(("verify", "enlarge_print"))
    and not environment.startswith("upstream-")
}
USED = [path for path in OWN_ENVIRONMENTS if path.name in {pair[1] for pair in PAINTING}]


@pytest.fixture(scope="module")
def conda(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation of the stand-in."""
    if sys.version_info[:2] != (3, 11):
        missing("the environments are of Python 3.11, and the stand-in has only this one")
    if conda_stub.pip("--version").returncode:
        missing(f"{conda_stub.BASE} has no pip")
    prefix = tmp_path_factory.mktemp("conda")
    conda_stub.install(prefix)
    return prefix


@dataclass(frozen=True)
class Run:
    """A project painted with --sdm conda.

    Attributes:
        project: The project, with one artwork.
        options: What `Project.snakemake` needs to run there again.
        environments: Name of the file in envs/ -> the environment that was made of it.
    """

    project: Project
    options: dict[str, Any]
    environments: dict[str, Path]


@pytest.fixture(scope="module")
def painted_in_conda(conda: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("painted")
    bare = folder / "snakemake"
    venv.create(bare, symlinks=True)
    python = bare / "bin/python"
    wanted = [f"{name}=={locked()[name]}" for name in ("snakemake", "pandas", "pydantic")]
    done = conda_stub.pip("--python", python, "install", *wanted)
    if done.returncode:
        missing(f"pip cannot install here: {done.stderr[-500:]}")
    project = Project(folder / "checkout")
    project.table.write_text(ARTWORKS)
    variables = {"PATH": f"{conda / 'bin'}:{PATH}", "NO_PROXY": "127.0.0.1"}
    options = {"python": python, "variables": variables}
    handler = partial(SimpleHTTPRequestHandler, directory=project.folder / "models/embedded")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        needs_every_rule(project, f"http://127.0.0.1:{server.server_port}/encoder.json")
        project.snakemake(*TARGETS, "--sdm", "conda", **options)
        project.table.write_text(MORE_ARTWORKS)
        Image.new("RGB", (40, 30), "teal").save(project.folder / "mine.png")
        mask = Image.new("L", (8, 8))
        mask.paste(255, (0, 0, 4, 4))
        mask.save(project.folder / "mask.png")
        project.snakemake(*MORE_TARGETS, "--sdm", "conda", **options)
        project.table.write_text(ARTWORKS)
        server.shutdown()
    environments = {}
    for copy in (project.folder / ".snakemake/conda").glob("*.yaml"):
        file = next(path for path in OWN_ENVIRONMENTS if path.read_text() == copy.read_text())
        environments[file.name] = copy.with_suffix("")
    return Run(project, options, environments)


def needs_every_rule(project: Project, vocabulary: str) -> None:
    """Give the project a model to convert and a vocabulary to fetch."""
    embedded = project.folder / "models/embedded"
    state = safetensors.torch.load_file(embedded / "enlarger.safetensors")
    torch.save(state, project.folder / "models/own.pth")
    files = {
        "own": {"architecture": "rrdbnet", "path": "models/own.pth"},
        "far": {"architecture": "vocabulary", "urls": [vocabulary]},
    }
    add_models(project.folder, files, enlarger="own", vocabulary="far")
    project.configure(models="mine")


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.stem)
def test_the_specs_solve(path: Path, conda: Path) -> None:
    records = asyncio.run(conda_stub.solve(conda, path))
    found = {record.name.normalized: str(record.version) for record in records}
    assert set(found) == {"python", "pip"}
    assert found["python"].startswith("3.11.")


def test_a_spec_that_no_package_meets_does_not_solve(conda: Path, tmp_path: Path) -> None:
    """The test above can fail."""
    spec = tmp_path / "wrong.yaml"
    for wrong in ("python =3.8", "pyhton =3.11"):
        spec.write_text(f"channels: [conda-forge]\ndependencies: [{wrong}]\n")
        with pytest.raises(Exception, match=wrong.split()[0]):
            asyncio.run(conda_stub.solve(conda, spec))


def test_every_rule_runs_in_its_own_environment(painted_in_conda: Run) -> None:
    ran: set[tuple[str, str]] = set()
    for file, environment in painted_in_conda.environments.items():
        for command in (environment / conda_stub.COMMANDS).read_text().splitlines():
            ran.update((script, file) for script in re.findall(r"^.*?/(\w+\.py) ", command))
    assert ran == PAINTING


def test_the_artwork_is_whole(painted_in_conda: Run) -> None:
    final = painted_in_conda.project.folder / "results/lake-size-auto/final.png"
    assert images.read_rgb(final).shape == (4096, 4096, 3)
    versions = picture_file.read_recipe(final)["versions"]
    assert versions.pop("python").startswith("3.11.")
    networks = pins(ROOT / "envs/networks.yaml")
    assert {name: version.partition("+")[0] for name, version in versions.items()} == {
        name: networks[name] for name in ("torch", "numpy", "pillow")
    }


@pytest.mark.parametrize("path", USED, ids=lambda path: path.stem)
def test_an_environment_holds_its_pins_and_what_they_need(
    path: Path, painted_in_conda: Run
) -> None:
    python = painted_in_conda.environments[path.name] / "bin" / conda_stub.BASE.name
    listed = json.loads(conda_stub.pip("--python", python, "list", "--format", "json").stdout)
    found = {each["name"].lower(): each["version"].partition("+")[0] for each in listed}
    assert pins(path).items() <= found.items()
    assert ("torch" in found) == ("torch" in pins(path))
    checked = conda_stub.pip("--python", python, "check")
    assert checked.returncode == 0, checked.stdout


def test_then_there_is_nothing_to_do(painted_in_conda: Run) -> None:
    run = painted_in_conda
    done = run.project.snakemake(*TARGETS, "--dry-run", "--sdm", "conda", **run.options)
    assert "Nothing to be done" in done.stdout + done.stderr


def test_turning_it_off_runs_everything_again_unless_told_not_to(painted_in_conda: Run) -> None:
    run = painted_in_conda
    done = run.project.snakemake("--dry-run", **run.options)
    assert "rule thumbnails:" in done.stdout + done.stderr
    triggers = ["--rerun-triggers", "mtime", "input", "params", "code"]
    done = run.project.snakemake("--dry-run", *triggers, **run.options)
    assert "Nothing to be done" in done.stdout + done.stderr
