"""The hash of a stage's code changes when code that the stage runs changes, and only then."""

import shutil
from pathlib import Path

import pytest

from bigart import code

SCRIPTS = Path(__file__).parent.parent / "workflow/scripts"


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "scripts"
    shutil.copytree(SCRIPTS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code, "LIBRARY", folder / "bigart")
    return folder


@pytest.mark.parametrize(
    ("edited", "changes"),
    [
        ("thumbnails.py", True),
        ("bigart/glide/unet.py", True),
        ("bigart/files.py", True),  # through images
        ("bigart/__init__.py", True),  # holds the version
        ("upsample.py", False),
        ("bigart/vqgan.py", False),
        ("bigart/texture.py", False),
        ("bigart/fetch.py", False),
    ],
)
def test_what_counts(scripts: Path, edited: str, changes: bool) -> None:
    before = code.version(scripts / "thumbnails.py")
    path = scripts / edited
    path.touch()
    code._imported_files.cache_clear()
    assert code.version(scripts / "thumbnails.py") == before
    path.write_text(path.read_text() + "\nADDED = 1\n")
    code._imported_files.cache_clear()
    assert (code.version(scripts / "thumbnails.py") != before) == changes


def test_the_folder_does_not_count(scripts: Path) -> None:
    copied = code.version(scripts / "finish.py")
    code.LIBRARY = SCRIPTS / "bigart"
    assert code.version(SCRIPTS / "finish.py") == copied
