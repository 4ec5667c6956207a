"""The workflow as a part of others, and apart from the folder that it is run in.

Every way makes the contact sheet of the same small artwork, and it is the same to the byte as that
of a checkout that is run in its own folder.
"""

import functools
import http.server
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import safetensors.torch
import torch
import yaml

from projects import PARTS, PATH, Project, add_models, missing, snakemake_in

TABLE = "artwork\tprompt\nvilla\tan \"Italian\" villa; $HOME `ls` 'é' 🎨\n"
SHEET = Path("results/villa/candidates.png")
READ_ONLY = """
mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" || exit
shift
exec "$@"
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A checkout, run in its own folder as far as the contact sheet."""
    project = Project(tmp_path_factory.mktemp("checkout") / "big art")
    project.table.write_text(TABLE)
    project.configure(candidates=1, steps=2)
    project.use_tiny_models()
    project.snakemake("candidates")
    return project


@pytest.fixture(scope="module")
def sheet(checkout: Project) -> bytes:
    return (checkout.folder / SHEET).read_bytes()


def own_config(checkout: Project, folder: Path) -> None:
    """Copy what one edits: config and table."""
    (folder / "config").mkdir(parents=True)
    for name in ("config.yaml", "prompts.tsv"):
        (folder / "config" / name).write_bytes((checkout.folder / "config" / name).read_bytes())


# As a part of another workflow


@pytest.mark.exhaustive
def test_as_a_module_of_another_workflow(checkout: Project, sheet: bytes, tmp_path: Path) -> None:
    """Its own table and folder of results, rules under other names, and the same pictures."""
    config = yaml.safe_load((checkout.folder / "config/config.yaml").read_text())
    config |= {"table": "mine.tsv", "results": "paintings"}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "mine.tsv").write_text(TABLE)
    (tmp_path / "Snakefile").write_text(
        'configfile: "config.yaml"\n'
        "module bigart:\n"
        f"    snakefile: {str(checkout.folder / 'Snakefile')!r}\n"
        "    config: config\n"
        "use rule * from bigart as bigart_*\n"
        "rule mine:\n"
        "    default_target: True\n"
        "    input: 'paintings/villa/candidates.png'\n"
        "    output: 'copied.png'\n"
        "    shell: 'cp {input} {output}'\n"
    )
    told = snakemake_in(tmp_path).stderr
    assert "bigart_thumbnails" in told
    assert "not present in the Snakefile" not in told  # names of its rules that others do not know
    assert "the embedded models were never shown `ls`" in told
    assert (tmp_path / "copied.png").read_bytes() == sheet

    done = snakemake_in(tmp_path, "--config", "engine=upstream", check=False)
    assert "error: the upstream engine needs glide-text2im" in done.stderr
    assert (tmp_path / "paintings/villa/1-thumbnails/1.png").exists()


# With snakedeploy


class Host:
    """A stand-in for github.com: git is told to find its repositories in a folder."""

    def __init__(self, folder: Path, checkout: Project) -> None:
        self.source = checkout.folder
        self.repository = folder / "someone/big-art.git"
        self.variables = {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.{folder.as_uri()}/.insteadOf",
            "GIT_CONFIG_VALUE_0": "https://github.com/",
            "XDG_CACHE_HOME": str(folder / "cache"),
        }
        self.git("init", "--quiet", "--bare", self.repository)

    def git(self, *arguments: str | Path) -> None:
        identity = ["-c", "user.name=Someone", "-c", "user.email=someone@example.org"]
        place = [f"--git-dir={self.repository}", f"--work-tree={self.source}"]
        bare = arguments[0] == "init"
        command = ["git", *identity, *([] if bare else place), *map(str, arguments)]
        subprocess.run(command, check=True, capture_output=True, timeout=60)

    def publish(self, tag: str) -> None:
        self.git("add", "--all", "--force", *PARTS)
        self.git("commit", "--quiet", "--message", tag)
        self.git("tag", tag)


@pytest.fixture(scope="module")
def host(checkout: Project, tmp_path_factory: pytest.TempPathFactory) -> Host:
    if not shutil.which("git", path=PATH):
        missing("there is no git")
    host = Host(tmp_path_factory.mktemp("host"), checkout)
    host.publish("v1")
    return host


@pytest.fixture(scope="module")
def deployed(host: Host, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that snakedeploy made, with the contact sheets painted."""
    folder = tmp_path_factory.mktemp("deployed") / "mine"
    source = "https://github.com/someone/big-art"
    subprocess.run(
        [
            *(Path(sys.executable).parent / "snakedeploy", "deploy-workflow", source, folder),
            *("--tag", "v1", "--name", "bigart"),
        ],
        env=os.environ | host.variables,
        check=True,
        capture_output=True,
        timeout=300,
    )
    snakemake_in(folder, "candidates", variables=host.variables)
    return folder


@pytest.mark.cluster
def test_deployed_with_snakedeploy(deployed: Path, sheet: bytes) -> None:
    assert (
        'github("someone/big-art", path="workflow/Snakefile", tag="v1")'
        in (deployed / "workflow/Snakefile").read_text()
    )
    assert (deployed / SHEET).read_bytes() == sheet


@pytest.mark.cluster
def test_a_newer_version_reruns_what_it_changes(
    deployed: Path, host: Host, checkout: Project
) -> None:
    """The table is the deployed one; an edit of the tag is all that an upgrade takes."""
    code = checkout.folder / "workflow/scripts/bigart/pictures/contact_sheet.py"
    text = code.read_text()
    snakefile = deployed / "workflow/Snakefile"
    try:
        code.write_text(text + "\nADDED = 1\n")
        host.publish("v2")
    finally:
        code.write_text(text)
    snakefile.write_text(snakefile.read_text().replace('"v1"', '"v2"'))
    done = snakemake_in(deployed, "candidates", "--dry-run", variables=host.variables)
    said = done.stdout + done.stderr
    assert "rule contact_sheet:" in said
    assert "rule upsampled:" not in said
    unpacked = deployed / ".snakemake/bigart" / code.relative_to(checkout.folder)
    assert "ADDED = 1" in unpacked.read_text()


@pytest.fixture
def address(checkout: Project) -> Iterator[str]:
    """The checkout on a web server."""
    handler = functools.partial(
        http.server.SimpleHTTPRequestHandler, directory=str(checkout.folder)
    )
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_rules_without_the_rest_are_refused(
    address: str, checkout: Project, tmp_path: Path
) -> None:
    own_config(checkout, tmp_path)
    (tmp_path / "Snakefile").write_text(
        'configfile: "config/config.yaml"\n'
        f"module bigart:\n    snakefile: '{address}/Snakefile'\n    config: config\n"
        "use rule * from bigart\n"
    )
    done = snakemake_in(tmp_path, "--dry-run", check=False)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "Clone the repository" in said
    assert "Traceback" not in said


# Run from another folder


def content(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file with its size and time."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(f): (f.stat().st_size, f.stat().st_mtime_ns) for f in files}


@pytest.mark.exhaustive
def test_from_a_checkout_that_cannot_be_written(
    checkout: Project, sheet: bytes, tmp_path: Path
) -> None:
    """For root, too: the checkout is a mount of its own that is read-only."""
    apart = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", READ_ONLY, "sh"]
    command = [*apart, str(checkout.folder)]
    try:
        mounted = subprocess.run([*command, "touch", checkout.folder / "written"], timeout=60)
    except FileNotFoundError:
        missing("there is no unshare, to mount the checkout read-only")
    if mounted.returncode == 0 or subprocess.run([*command, "true"], timeout=60).returncode:
        missing("no folder can be mounted read-only here")
    own_config(checkout, tmp_path)
    done = snakemake_in(
        tmp_path, "--snakefile", str(checkout.folder / "Snakefile"), "candidates", before=command
    )
    assert (tmp_path / SHEET).read_bytes() == sheet
    assert "profiles/default" in done.stderr  # the checkout's, since there is no other


@pytest.mark.exhaustive
def test_a_table_of_models_of_ones_own(checkout: Project, tmp_path: Path) -> None:
    """Beside one's own config; what it does not name in full is in the checkout."""
    own_config(checkout, tmp_path)
    embedded = checkout.folder / "models/embedded/enlarger.safetensors"
    torch.save(safetensors.torch.load_file(embedded), tmp_path / "own.pth")
    entry = {"architecture": "rrdbnet", "path": str(tmp_path / "own.pth")}
    add_models(tmp_path, {"own": entry}, enlarger="own")
    snakefile = str(checkout.folder / "Snakefile")
    own = ["--config", "models=mine", "models_table=config/models.yaml"]
    snakemake_in(tmp_path, "--snakefile", snakefile, "weights", *own)
    assert (tmp_path / "weights/own.safetensors").exists()
    done = snakemake_in(tmp_path, "--snakefile", snakefile, "--config", "models=mine", check=False)
    assert "`mine` is not a model set" in done.stdout + done.stderr


@pytest.mark.parametrize(
    "snakefile",
    ["Snakefile", pytest.param("workflow/Snakefile", marks=pytest.mark.exhaustive)],
)
def test_in_another_directory(
    snakefile: str, checkout: Project, sheet: bytes, tmp_path: Path
) -> None:
    """`--directory` is where config, table and results are, wherever one stands."""
    work, elsewhere = tmp_path / "work", tmp_path / "elsewhere"
    own_config(checkout, work)
    elsewhere.mkdir()
    before = content(checkout.folder)
    there = ["--snakefile", str(checkout.folder / snakefile), "--directory", str(work)]
    snakemake_in(elsewhere, *there, "candidates")
    assert (work / SHEET).read_bytes() == sheet
    assert not list(elsewhere.iterdir())
    assert content(checkout.folder) == before
    done = snakemake_in(elsewhere, *there, "candidates", "--dry-run")
    assert "Nothing to be done" in done.stdout + done.stderr


@pytest.mark.exhaustive
def test_another_place_changes_nothing(checkout: Project, sheet: bytes, tmp_path: Path) -> None:
    """Neither of the installation nor of the folder that it is used in."""
    work = tmp_path / "work"
    own_config(checkout, work)
    snakemake_in(work, "--snakefile", str(checkout.folder / "Snakefile"), "candidates")
    assert (work / SHEET).read_bytes() == sheet
    newer = tmp_path / "opt/newer"
    made_there = shutil.ignore_patterns("results", ".snakemake")
    shutil.copytree(checkout.folder, newer, ignore=made_there)
    moved = work.rename(tmp_path / "opt/mine")
    done = snakemake_in(moved, "--snakefile", str(newer / "Snakefile"), "candidates", "--dry-run")
    assert "Nothing to be done" in done.stdout + done.stderr
