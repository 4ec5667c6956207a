"""What workflow/rules/internals.smk needs of Snakemake is there, in the oldest version as well."""

import os
import re
import subprocess
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

import conda_stub
from projects import ROOT, Project, missing


def test_errors_of_the_config_name_file_and_line(tiny: Project) -> None:
    config = tiny.folder / "config/config.yaml"
    text = config.read_text()
    config.write_text(text + "colour: red\n")
    done = tiny.snakemake("--dry-run", check=False)
    config.write_text(text)
    line = len(text.splitlines()) + 1
    assert re.search(rf"config\.yaml.*\b{line}\b.*colour", done.stdout + done.stderr)


def test_a_job_on_a_node_leaves_the_greeting_and_its_marks_to_the_main_process(
    tiny: Project,
) -> None:
    target, greeting = "results/lake/candidates.png", "BIG.art: 2 artworks"
    done = tiny.snakemake(target, "--mode", "remote", "--force", "--nolock")
    assert greeting not in done.stdout + done.stderr
    assert tiny.jobs() == {"contact_sheet lake"}
    assert greeting in tiny.snakemake().stderr
    assert tiny.jobs() == set()


def test_a_job_that_fails_after_its_command_is_made_again(tiny: Project) -> None:
    """Snakemake refuses an output that is older than its input, and forgets its record."""
    image, before = tiny.folder / "results/lake/7-textured-4096.png", tiny.pictures()
    times = image.stat()
    os.utime(image, (times.st_atime, times.st_mtime + 1000))
    done = tiny.snakemake("--forcerun", "final", check=False)
    assert "has older modification time" in done.stdout + done.stderr
    assert tiny.pictures() == before
    os.utime(image, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert tiny.jobs() >= {"final lake"}
    tiny.snakemake()
    assert tiny.jobs() == set()
    assert tiny.pictures() == before


def test_a_package_is_missing_only_where_jobs_have_no_environment_of_their_own(
    tiny: Project,
) -> None:
    upstream = ["--dry-run", "--config", "engine=upstream"]
    done = tiny.snakemake(*upstream, check=False)
    assert done.returncode == 1
    assert "\n  the upstream engine needs" in done.stderr
    tiny.snakemake(*upstream, "--sdm", "env-modules")


def test_a_report_of_the_plain_run_shows_what_the_gallery_has_made(tiny: Project) -> None:
    """Previews, contact sheets, recipes; the plain run itself makes none of them."""
    tiny.snakemake("gallery")
    tiny.snakemake("--report", "report.zip")
    with zipfile.ZipFile(tiny.folder / "report.zip") as report:
        names = report.namelist()
        pictures = [name for name in names if name.endswith((".jpg", "recipe.html"))]
        assert len(pictures) == 6
        size = sum(report.getinfo(name).compress_size for name in names)
    assert size < 8e6
    tiny.snakemake("--report", "report.html")
    page = (tiny.folder / "report.html").read_text()
    for part in (
        "Final pictures",
        "Candidates",
        "Recipes, time and memory",
        "a painting of a sunset",
    ):
        assert part in page


@pytest.mark.cluster
def test_the_oldest_snakemake_that_works(tmp_path: Path) -> None:
    """All that reruns, and every way to deploy, in an environment with that version."""
    found = re.search(r'^min_version\("([\d.]+)"\)', (ROOT / "Snakefile").read_text(), re.MULTILINE)
    assert found
    environment = venv.EnvBuilder(symlinks=True)
    environment.create(tmp_path / "oldest")
    python = tmp_path / "oldest/bin/python"
    # the other packages are those of the tests' own environment
    [packages] = (tmp_path / "oldest/lib").glob("python*/site-packages")
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    done = conda_stub.pip("--python", python, "install", f"snakemake=={found[1]}")
    if done.returncode:
        missing(f"pip cannot install here: {done.stderr[-500:]}")
    outer = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [python, "-m", "snakemake", "--version"]
    version = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert version.startswith(found[1])
    names = ("internals", "preflight", "reruns", "made", "deployment")
    tests = [f"tests/test_{name}.py" for name in names]
    done = subprocess.run(
        [python, "-m", "pytest", "-m", "not cluster", f"--basetemp={tmp_path / 'tests'}", *tests],
        cwd=ROOT,
        env=outer,
        capture_output=True,
        text=True,
        timeout=1200,
    )
    print(done.stdout[-2000:])
    assert done.returncode == 0, done.stdout[-5000:]
