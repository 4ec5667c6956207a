"""The table of model files: what it holds, how one's own files are added, what is wrong with it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from bigart.errors import UserError
from bigart.weights import table
from bigart.weights.table import OPTIONAL_ROLES, ROLES, ModelFile, read_models

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "config" / "models.yaml"


def written(path: Path, change: Any = None) -> Path:
    """The shipped table, changed."""
    content = yaml.safe_load(TABLE.read_text())
    if change:
        change(content)
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def errors_of(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_models(path)
    return str(caught.value)


def test_every_set_has_a_file_for_every_role():
    table = read_models(TABLE, root=ROOT)
    assert {"embedded", "glide"} <= set(table.sets)
    for name in table.sets:
        files = table.set(name)
        assert list(files)[: len(ROLES)] == list(ROLES)
        for role, file in files.items():
            assert file.architecture in (ROLES | OPTIONAL_ROLES)[role]


def test_embedded_files_are_in_the_repository_and_need_nothing():
    for file in read_models(TABLE, root=ROOT).set("embedded").values():
        assert file.final_path("weights") == file.path
        assert file.path.parent == ROOT / "models" / "embedded"


def test_published_files_say_where_they_come_from_and_on_what_terms():
    for file in read_models(TABLE).files.values():
        assert file.licence
        assert file.note
        if file.needs_fetch:
            assert all(url.startswith("https://") for url in file.urls)
            assert file.sha256 or file.name.startswith("glide-"), "only GLIDE's are unknown"


def test_paths_follow_from_the_name():
    vqgan = read_models().file("vqgan-imagenet")  # its first address hides the name in the query
    assert vqgan.download_path("w") == Path("w/downloads/vqgan-imagenet.ckpt")
    assert vqgan.final_path("w") == Path("w/vqgan-imagenet.safetensors")
    words = read_models().file("gpt2-vocabulary")
    assert words.final_path("w") == Path("w/downloads/gpt2-vocabulary.json")


def test_a_set_of_ones_own_is_one_more_entry(tmp_path):
    def add(table: dict[str, Any]) -> None:
        table["sets"]["mine"] = {"like": "glide-wikiart", "enlarger": "my-enlarger"}
        table["files"]["my-enlarger"] = {"architecture": "rrdbnet", "path": "models/my.pth"}

    models = read_models(written(tmp_path / "models.yaml", add), root=tmp_path)
    files = models.set("mine")
    assert files["enlarger"].path == tmp_path / "models" / "my.pth"
    assert files["enlarger"].needs_conversion
    assert files["detailer"].name == "vqgan-wikiart"
    assert files["base"].name == "glide-base"
    with pytest.raises(UserError, match=r"enlarger: `my-enlarger` is to be at .*my\.pth"):
        table.check_present(files)


def test_identity_changes_with_the_content_alone(tmp_path):
    path = tmp_path / "mine.pth"
    file = ModelFile(name="mine", architecture="rrdbnet", path=path)
    path.write_bytes(b"one")
    first = file.identity()
    path.touch()
    assert file.identity() == first
    path.write_bytes(b"two")
    assert file.identity() != first

    path.unlink()
    with path.open("wb") as out:
        out.truncate(3 * 2**30)  # sparse: takes no room
    first = file.identity()
    with path.open("r+b") as out:
        out.seek(-10, 2)
        out.write(b"x")
    assert file.identity() != first


def test_identity_of_a_download_is_its_hash_or_else_its_address():
    file = ModelFile(name="a", architecture="glide", urls=("https://x/y",))
    assert file.identity() == "https://x/y"
    known = file.model_copy(update={"sha256": "0" * 64, "options": {"blocks": 2}})
    assert known.identity() == f"sha256:{'0' * 64} blocks=2"


def test_all_errors_come_at_once_with_their_lines(tmp_path):
    def spoil(table: dict[str, Any]) -> None:
        files = table["files"]
        files["bsrgan"]["sha265"] = files["bsrgan"].pop("sha256")
        files["bsrnet"]["sha256"] = "abc"
        files["bsrgan-x2"]["bytes"] = "many"
        files["bsrgan-x2"]["options"] = {"featurs": 64, "scale": 3}
        files["vqgan-imagenet"]["architecture"] = "vqgam"
        files["vqgan-wikiart"]["urls"] = ["ftp://host/file"]
        files["gpt2-merges"]["path"] = "here"
        del files["glide-base"]["urls"]
        files["UPPER"] = {"architecture": "glide", "path": "x"}
        files["mine"] = {"architecture": "rrdbnet", "path": "{models}/a.pth", "name": "x"}
        table["sets"]["glide"]["enlarger"] = "bsrgam"
        table["sets"]["glide"]["detailer"] = "bsrgan"
        table["sets"]["half"] = {"base": "glide-base", "bases": "x"}
        table["sets"]["other"] = {"like": "glid"}

    path = written(tmp_path / "models.yaml", spoil)
    path.write_text(path.read_text() + "  UPPER: 3\nset: 4\n")
    lines = path.read_text().splitlines()
    message = errors_of(path)
    for words in [
        "files.bsrgan.sha265: no such key. Did you mean `sha256`?",
        "files.bsrnet.sha256: found 'abc'; allowed: pattern '^[0-9a-fA-F]{64}$'",
        "files.bsrgan-x2.bytes: found 'many'; allowed: a valid integer",
        "files.bsrgan-x2.options.featurs: no such key. Did you mean `features`?",
        "files.bsrgan-x2.options.scale: found 3; allowed: 2 or 4",
        "'merges' or 'clip-vocabulary'. Did you mean `vqgan`?",
        "files.vqgan-wikiart.urls.0: found 'ftp://host/file'; allowed: pattern '^https?://",
        "files.gpt2-merges.path: found 'here'; allowed: one of `path`, `urls`, `package` and",
        "files.glide-base.path: found None; allowed: one of `path`, `urls`, `package` and `blend`",
        f"line {len(lines) - 1}, files.UPPER: stands twice, first in line",
        "files.UPPER: found 'UPPER'; allowed: pattern '^[a-z0-9]",
        "files.mine.path: found '{models}/a.pth'; allowed: a path without braces",
        "files.mine.name: no such key",
        "sets.glide.enlarger: nothing is called `bsrgam`. Did you mean `bsrgan`?",
        "sets.glide.detailer: `bsrgan` is of architecture rrdbnet; vqgan is needed",
        "sets.half: no file for upsampler, enlarger, detailer, vocabulary, merges",
        "sets.half.bases: no such role. Did you mean `base`?",
        "sets.other.like: nothing is called `glid`. Did you mean `glide`?",
        ": no such key. Did you mean `sets`?",
    ]:
        assert words in message, f"{words!r} not in:\n{message}"
    at = lines.index("    sha256: abc") + 1
    assert f"{path}, line {at}, files.bsrnet.sha256: found" in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "found None; allowed: a valid dictionary"),
        ("sets: {}", "files: is missing"),
        ("sets: 3\nfiles: 4", "line 1, sets: found 3; allowed: a valid dictionary"),
        ("sets: {a: 3}\nfiles: {b: 4}", "line 2, files.b: found 4; allowed: a valid dictionary"),
        ("a: [1\nb: 2", "line 2"),
        ("sets: {a: {like: b}, b: {like: a}}\nfiles: {c: {architecture: glide, path: x}}", "no"),
        ("&a [*a]", "allowed: a valid dictionary"),
        ("!!python/object/apply:os.system ['touch was-run']", "line 1"),
        ("\ttabs: here", "line 1: this is not YAML: found character '\\t' that cannot start"),
        ("files: {a: {note: 2021-02-30}}", "is not YAML: day is out of range"),
        ("[" * 2_000, "is not YAML"),
        ("sets: \x01", "is not YAML"),
    ],
)
def test_files_that_are_no_table(tmp_path, text, words):
    path = tmp_path / "models.yaml"
    path.write_text(text)
    assert words in errors_of(path)
    assert not Path("was-run").exists()


@pytest.mark.parametrize(
    ("role", "options", "words"),
    [
        ("base", {"super_res": True}, "another super_res than false"),
        ("upsampler", {"super_res": False}, "another super_res than true"),
        ("base", {"inpaint": True}, "another inpaint than false"),
        ("upsampler", {"super_res": True, "inpaint": True}, "another inpaint than false"),
    ],
)
def test_a_glide_of_another_kind_is_refused_where_its_options_tell(tmp_path, role, options, words):
    def swap(table: dict[str, Any]) -> None:
        table["sets"]["mine"] = {"like": "glide", role: "tuned"}
        table["files"]["tuned"] = {"architecture": "glide", "path": "t.pt", "options": options}

    path = written(tmp_path / "models.yaml", swap)
    assert f"sets.mine.{role}: `tuned` has {words}" in errors_of(path)
    options.clear()
    assert read_models(written(path, swap))  # the file will tell


def test_a_download_that_is_read_as_it_is_must_be_what_its_entry_states(tmp_path):
    """No rule runs again when a hash is edited; so this is checked before anything runs."""
    entry = ModelFile(
        name="words", architecture="vocabulary", urls=("https://x/y.json",), sha256="0" * 64
    )
    table.check_present({"vocabulary": entry}, tmp_path)  # still to be fetched
    path = entry.download_path(tmp_path)
    path.parent.mkdir()
    path.write_text("{}")
    with pytest.raises(UserError, match=r"vocabulary: .*words\.json is another file than `words`"):
        table.check_present({"vocabulary": entry}, tmp_path)


def test_files_that_cannot_be_read(tmp_path):
    assert "is missing" in errors_of(tmp_path / "none.yaml")
    assert "cannot be read: Is a directory" in errors_of(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"sets: \xe9")
    assert "is not UTF-8 text (byte 7)" in errors_of(tmp_path / "latin.yaml")


def test_unknown_names_come_with_a_suggestion():
    table = read_models(TABLE)
    with pytest.raises(UserError, match=r"`gilde` is not a model set .* Did you mean `glide`"):
        table.set("gilde")
    with pytest.raises(UserError, match=r"There are: embedded, glide"):
        table.set("xyz")
    with pytest.raises(UserError, match="Did you mean `bsrgan`"):
        table.file("BSRGAN")


def test_reading_the_table_needs_no_torch():
    code = "import sys; sys.path.insert(0, sys.argv[1]); "
    code += "import bigart.weights.table, bigart.weights.download; "
    code += "sys.exit('torch' in sys.modules)"
    scripts = str(ROOT / "workflow" / "scripts")
    subprocess.run([sys.executable, "-c", code, scripts], check=True)


def test_the_files_of_clip_come_together(tmp_path):
    def add(table: dict[str, Any]) -> None:
        embedded = table["sets"]["embedded"].items()
        none = {role: file for role, file in embedded if not role.startswith("clip")}
        table["sets"]["half"] = {**none, "clip_text": "glide-clip-text"}
        table["sets"]["words"] = {**none, "clip_vocabulary": "clip-vocabulary"}

    message = errors_of(written(tmp_path / "models.yaml", add))
    assert "sets.half: no file for clip_image, which the others" in message
    assert "sets.words: no file for clip_text, clip_image, which the others" in message
    assert read_models().file("clip-vocabulary").final_path("w").name == "clip-vocabulary.txt.gz"
