"""Which pictures are the workflow's own and which a person's, and what is made from either."""

import io
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from bigart.errors import UserError
from bigart.metadata import made, picture_file, recipe
from bigart.pictures import images
from bigart.stages import INSTEAD, STAGES
from projects import COMMANDS, FILES, Project

RULES = list(FILES)
#: The file of a print is that of the stage `final`.
PICTURES = {n: s for n, s in STAGES.items() if n not in INSTEAD and n != "proof"}
LAKE, CANDIDATES = "lake", 2
OWN = recipe.extend(recipe.start(), "thumbnails", prompt="a lake")


def picture(shade: int = 0) -> np.ndarray:
    return np.full((8, 8, 3), shade, np.uint8)


def paint(path: Path, shade: int = 0) -> None:
    """Write what a stage would write."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture_file.write_picture(path, picture(shade), OWN)


def retouch(path: Path, shade: int = 200) -> None:
    """Write what a picture editor would write."""
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    images.Image.fromarray(picture(shade)).save(buffer, picture_file.format_of(path))
    path.write_bytes(buffer.getvalue())


def all_names(suffix: str = "png") -> list[str]:
    return [
        stage.file.format(candidate=k, format=suffix)
        for stage in PICTURES.values()
        for k in range(1, CANDIDATES + 1 if "{candidate}" in stage.file else 2)
    ]


@pytest.fixture(params=["png", "jpg", "tif"])
def suffix(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def results(tmp_path: Path, suffix: str) -> Path:
    """The pictures of an artwork with their record."""
    for name in all_names(suffix):
        paint(tmp_path / LAKE / name)
    made.end(tmp_path / LAKE, all_names(suffix), failed=False)
    return tmp_path


def kept(results: Path, suffix: str = "png") -> dict[str, list[str]]:
    """Stage -> a person's pictures."""
    found = made.kept(str(results), {LAKE: suffix, "not painted yet": "png"}, CANDIDATES)
    return {stage: list(artworks[LAKE]) for stage, artworks in found.items()}


def test_what_a_job_made_is_the_workflows_own(results: Path, suffix: str) -> None:
    assert kept(results, suffix) == {}


@pytest.mark.parametrize("seconds", [-1e9, -1, 0, 1, 1e9])
@pytest.mark.parametrize("stage", PICTURES)
def test_a_persons_picture_is_known_however_old(stage: str, seconds: float, tmp_path: Path) -> None:
    name = PICTURES[stage].file.format(candidate=2, format="tif")
    path = tmp_path / LAKE / name
    paint(path)
    made.end(tmp_path / LAKE, [name], failed=False)
    before = path.stat()
    retouch(path)
    os.utime(path, (before.st_atime, before.st_mtime + seconds))
    others = set(all_names("tif")) - {name}
    for other in others:
        paint(tmp_path / LAKE / other)
    assert kept(tmp_path, "tif") == {stage: [name]}
    assert made.replaced(path.parent.parent if "/" in name else path.parent, [name]) == [name]
    # Snakemake refuses an input from the future
    assert path.stat().st_mtime <= max(before.st_mtime + 1, path.stat().st_ctime)


def test_the_same_content_at_another_time_is_the_same(results: Path, suffix: str) -> None:
    """A copy, a checkout, `touch`: read once, known by size and time from then on."""
    for path in results.rglob("*.*"):
        os.utime(path, (1, 1))
    copy = shutil.copytree(results, results / "copy", copy_function=shutil.copyfile)
    for folder in (results, copy):
        assert kept(folder, suffix) == {}
        read = folder / LAKE / made.RECORD
        content, when = read.read_bytes(), read.stat().st_mtime_ns
        assert kept(folder, suffix) == {}
        assert (read.read_bytes(), read.stat().st_mtime_ns) == (content, when)


def test_unchanged_pictures_are_not_read(
    results: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(made.files, "sha256", pytest.fail)
    monkeypatch.setattr(made, "_carries_recipe", pytest.fail)
    assert kept(results, suffix) == {}


def test_the_workflows_own_comes_back(results: Path, suffix: str) -> None:
    path = results / LAKE / "3-enlarged-1024.png"
    own = path.read_bytes()
    retouch(path)
    assert kept(results, suffix) == {"enlarged-1024": [path.name]}
    path.write_bytes(own)
    assert kept(results, suffix) == {}
    retouch(path)
    assert kept(results, suffix) == {"enlarged-1024": [path.name]}
    path.unlink()
    assert kept(results, suffix) == {}
    paint(path, 7)
    made.end(results / LAKE, [path.name], failed=False)
    assert kept(results, suffix) == {}


def test_an_editor_that_keeps_the_recipe_does_not_pass_for_the_workflow(
    results: Path, suffix: str
) -> None:
    name = f"final.{suffix}"
    paint(results / LAKE / name, shade=3)
    assert kept(results, suffix) == {"final": [name]}


def test_without_a_record_the_recipe_tells(results: Path, suffix: str) -> None:
    """Painted by an older version, or records were lost; and a picture was put in by hand."""
    retouch(results / LAKE / "3-enlarged-1024.png")
    for content in (None, "", "[", "[1]", "{"):
        record = results / LAKE / made.RECORD
        record.unlink()
        if content is not None:
            record.write_text(content)
        assert kept(results, suffix) == {"enlarged-1024": ["3-enlarged-1024.png"]}
    (results / LAKE / f"final.{suffix}").touch()
    retouch(results / LAKE / "6-enlarged-4096.png")
    assert list(kept(results, suffix)) == ["enlarged-1024", "enlarged-4096"]


def test_of_several_all_must_be_there(results: Path, suffix: str) -> None:
    retouch(results / LAKE / "2-upsampled/1.png")
    (results / LAKE / "2-upsampled/2.png").unlink()
    (results / LAKE / "1-thumbnails/2.png").unlink()
    with pytest.raises(UserError, match=r"2-upsampled/1\.png.* by hand.*2-upsampled/2\.png.*miss"):
        kept(results, suffix)


def test_a_job_that_was_killed_after_its_last_file(results: Path, suffix: str) -> None:
    """Its pictures are the workflow's, though nobody has recorded them."""
    folder, names = results / LAKE, ["2-upsampled/1.png", "2-upsampled/2.png"]
    made.begin(folder, names)
    assert kept(results, suffix) == {}
    paint(folder / names[0], 5)
    assert kept(results, suffix) == {}
    retouch(folder / names[1])
    assert kept(results, suffix) == {"upsampled": [names[1]]}


def test_a_job_that_failed_leaves_the_former_ones_known(results: Path, suffix: str) -> None:
    folder, names = results / LAKE, ["2-upsampled/1.png", "2-upsampled/2.png"]
    before = (folder / made.RECORD).read_bytes()
    made.begin(folder, names)
    made.end(folder, names, failed=True)
    assert (folder / made.RECORD).read_bytes() == before
    made.begin(folder, names)
    paint(folder / names[0], 5)
    made.end(folder, names, failed=True)
    assert kept(results, suffix) == {}
    paint(folder / names[1], 5)
    assert kept(results, suffix) == {"upsampled": [names[1]]}


def test_a_record_that_cannot_be_written_is_none(
    results: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk: a record that is behind would take the workflow's own for a person's."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(made, "_write", full)
        made.begin(results / LAKE, ["3-enlarged-1024.png"])
        paint(results / LAKE / "3-enlarged-1024.png", 5)
        made.end(results / LAKE, ["3-enlarged-1024.png"], failed=False)
        assert kept(results, suffix) == {}
    assert kept(results, suffix) == {}


# The workflow


@pytest.fixture
def project(tiny: Project) -> Iterator[Project]:
    before = tiny.table.read_bytes()
    yield tiny
    tiny.table.write_bytes(before)


def since(rule: str) -> set[str]:
    return {f"{later} lake" for later in RULES[RULES.index(rule) :]}


def change(path: Path) -> None:
    with images.Image.open(path) as opened:
        changed = opened.convert("RGB")
    changed.putpixel((3, 3), (1, 2, 3))
    changed.save(path)
    os.utime(path, (1e9, 1e9))


def cases(*first: str) -> list[object]:
    """The pictures of each kind, and the jobs that follow from each; `make test` has the first."""
    follow = {
        "1-thumbnails/1.png": since("upsampled"),
        "2-upsampled/1.png": {"contact_sheet lake"},
        "2-upsampled/2.png": since("contact_sheet"),
        "candidates.png": set(),
        "3-enlarged-1024.png": since("textured_1024"),
        "6-enlarged-4096.png": since("textured_4096"),
        "final.png": set(),
    }
    exhaustive = pytest.mark.exhaustive
    return [
        pytest.param(name, jobs, id=name, marks=[] if name in first else exhaustive)
        for name, jobs in follow.items()
    ]


@pytest.mark.parametrize(("name", "follow"), cases("2-upsampled/2.png"))
def test_a_persons_picture_is_kept_and_what_follows_is_painted_from_it(
    name: str, follow: set[str], project: Project
) -> None:
    path, own = project.folder / "results/lake" / name, project.folder / "own"
    shutil.copy2(path, own)
    [rule] = {rule for rule, file in FILES.items() if name.startswith(file.partition("2.png")[0])}
    change(path)
    try:
        assert project.jobs() == follow
        # another prompt paints all, but not this one nor what only it needs
        project.edit("a bowl of fruit", "lake", "prompt")
        assert f"{rule} lake" not in project.jobs("--forceall")
        done = project.snakemake(f"results/lake/{name}", "--force", check=False)
        assert f"results/lake/{name} was put there by hand. It is kept" in done.stderr
        assert "delete it" in done.stderr
        assert done.returncode != 0
        assert path.read_bytes() != own.read_bytes()
    finally:
        shutil.copy2(own, path)
    project.edit("a painting of a sunset over a lake", "lake", "prompt")
    assert project.jobs() == set()


def test_a_picture_is_put_in_painted_from_and_taken_out(project: Project) -> None:
    undisturbed = project.pictures()
    name = "lake/7-textured-4096.png"
    path = project.folder / "results" / name
    change(path)
    theirs = path.read_bytes()
    project.snakemake()
    assert project.jobs() == set()
    painted = project.pictures()
    changed = {file for file in painted if painted[file] != undisturbed[file]}
    assert changed == {name, "lake/final.png"}
    assert painted[name] == theirs
    path.unlink()
    project.snakemake()
    assert project.pictures() == undisturbed
    assert project.jobs() == set()


@pytest.mark.exhaustive
def test_a_picture_that_is_put_in_during_a_run_is_kept(project: Project) -> None:
    script = project.folder / "workflow/scripts/texture.py"
    theirs, final = project.folder / "theirs.png", project.folder / "results/lake/final.png"
    shutil.copy(final, theirs)
    change(theirs)
    code = script.read_text()
    put = "import shutil; shutil.copy('theirs.png', 'results/lake/final.png')"
    script.write_text(code.replace("if __name__", f"{put}\nif __name__"))
    project.edit("0.1", "lake", "final_texture_amount")
    done = project.snakemake(check=False)
    script.write_text(code)
    assert done.returncode != 0
    assert "final.png" in done.stderr.partition("Put there by hand since this run began")[2]
    assert "Traceback" not in done.stderr
    assert final.read_bytes() == theirs.read_bytes()
    assert project.jobs() == set()
    final.unlink()
    project.edit("", "lake", "final_texture_amount")
    project.snakemake()


# Stages that fail


@pytest.fixture
def broken(project: Project) -> Iterator[Callable[[str], None]]:
    """Breaks a command, so that its stages run again and fail."""
    scripts = {path: path.read_text() for path in project.folder.glob("workflow/scripts/*.py")}

    def break_(command: str) -> None:
        path = project.folder / "workflow/scripts" / command
        path.write_text("raise SystemExit(1)\n")

    yield break_
    for path, text in scripts.items():
        path.write_text(text)


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(name, marks=[] if name == "thumbnails.py" else pytest.mark.exhaustive)
        for name in sorted(set(COMMANDS.values()))
    ],
)
def test_a_stage_that_fails_leaves_everything_as_it_was(
    command: str, project: Project, broken: Callable[[str], None]
) -> None:
    before = project.pictures()
    scripts = project.folder / "workflow/scripts"
    code = (scripts / command).read_text()
    broken(command)
    due = project.jobs()
    assert due >= {f"{rule} lake" for rule, name in COMMANDS.items() if name == command}
    assert project.snakemake("--keep-going", check=False).returncode != 0
    assert project.pictures() == before
    # what has failed is as due as before, and not any more where the cause is taken back
    assert project.jobs() == due
    (scripts / command).write_text(code)
    assert project.jobs() == set()
