"""The hash of a stage's code changes when code that the stage runs changes, and only then."""

import shutil
from pathlib import Path

import pytest

from bigart.running import code_version

SCRIPTS = Path(__file__).parent.parent / "workflow/scripts"


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "scripts"
    shutil.copytree(SCRIPTS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code_version, "LIBRARY", folder / "bigart")
    return folder


@pytest.mark.parametrize(
    ("edited", "changes"),
    [
        ("thumbnails.py", True),
        ("bigart/networks/native/glide/unet.py", True),
        ("bigart/running/files.py", True),  # through images
        ("bigart/__init__.py", True),  # holds the version
        ("upsample.py", False),
        ("bigart/networks/native/vqgan.py", False),
        ("bigart/pictures/texture.py", False),
        ("bigart/weights/download.py", False),
    ],
)
def test_what_counts(scripts: Path, edited: str, changes: bool) -> None:
    before = code_version.version(scripts / "thumbnails.py")
    path = scripts / edited
    path.touch()
    code_version._imported_files.cache_clear()
    assert code_version.version(scripts / "thumbnails.py") == before
    path.write_text(path.read_text() + "\nADDED = 1\n")
    code_version._imported_files.cache_clear()
    assert (code_version.version(scripts / "thumbnails.py") != before) == changes


def test_the_folder_does_not_count(scripts: Path) -> None:
    copied = code_version.version(scripts / "finish.py")
    code_version.LIBRARY = SCRIPTS / "bigart"
    assert code_version.version(SCRIPTS / "finish.py") == copied
