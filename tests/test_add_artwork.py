"""Adding artworks: a row for each prompt, with a name, a new seed, and nothing that is refused."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigart.config import artworks
from bigart.config.new_artworks import with_artworks
from bigart.config.options import DEFAULTS, Artwork, Config, Options
from bigart.config.plain_text import plain
from bigart.config.table_file import TableFile
from bigart.errors import UserError
from projects import run_command

TABLE = "# mine\r\nprompt\tartwork\tsteps\r\na lake\tlake\t60\r\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/config.yaml").write_text("guidance: 3\nresults: pictures\n")
    (tmp_path / "config/prompts.tsv").write_bytes(TABLE.encode())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def table() -> str:
    return Path("config/prompts.tsv").read_bytes().decode()


def read() -> dict[str, Artwork]:
    """The artworks of the table, in which nothing is wrong."""
    found, errors = artworks.read(Path("config/prompts.tsv"), Config())
    assert errors == []
    return found


def names(*prompts: str, known: str = "") -> list[str]:
    """What artworks with these prompts are called."""
    former = TableFile(Path("prompts.tsv"), f"artwork\tprompt\n{known}".encode())
    return [*with_artworks(former, Config(results="none"), prompts, {})[2]]


def test_a_row_is_added_with_a_name_and_a_new_seed(folder, capsys):
    assert run_command("add_artwork", "a seascape with crashing waves") == 0
    assert run_command("add_artwork", "a seascape with crashing waves", "--steps", "30") == 0
    first, second = list(read().values())[1:]
    assert table() == TABLE.replace("steps\r\n", "steps\tseed\r\n") + (
        f"a seascape with crashing waves\tseascape-with-crashing-waves\t\t{first.seed}\r\n"
        f"a seascape with crashing waves\tseascape-with-crashing-waves-2\t30\t{second.seed}\r\n"
    )
    assert first.seed != second.seed
    told = capsys.readouterr().out
    assert "config/prompts.tsv: added `seascape-with-crashing-waves`, seed" in told


def test_every_column_has_a_flag(folder, capsys):
    usual = {name: DEFAULTS[name] for name in Options.model_fields}
    texts = {n: str(v).lower() if isinstance(v, bool) else str(v) for n, v in usual.items()}
    values = {name: text for name, text in texts.items() if text} | {"negative_prompt": "dark"}
    flags = {f"--{name.replace('_', '-')}": value for name, value in values.items()}
    flags = [word for flag in flags.items() for word in flag]
    assert run_command("add_artwork", "the sea", "--artwork", "mine", *flags) == 0
    cells = table().splitlines()[-1].split("\t")
    columns = table().splitlines()[1].split("\t")
    assert dict(zip(columns, cells, strict=True)) == {
        **values,
        "artwork": "mine",
        "prompt": "the sea",
    }
    run_command("add_artwork", "--help")
    told = capsys.readouterr().out
    assert all(f"--{name.replace('_', '-')} VALUE" in told for name in Options.model_fields)


def test_prompts_from_a_file(folder):
    prompts = "\ufeff# ideas\nthe sea\r\n\n  # a hash inside  \n\t\nthe sea\n"
    Path("ideas.txt").write_text(prompts, encoding="utf-8")
    assert run_command("add_artwork", "a hill", "--file", "ideas.txt") == 0
    found = {name: artwork.prompt for name, artwork in read().items()}
    assert found == {
        "lake": "a lake",
        "hill": "a hill",
        "sea": "the sea",
        "hash-inside": "# a hash inside",
        "sea-2": "the sea",
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no prompt: write one in quotes, or name a file of prompts with --file"),
        (["--file", "none.txt"], "none.txt cannot be read: No such file or directory"),
        (["--file", "blank.txt"], "blank.txt holds no prompt"),
        (["--file", "latin.txt"], "latin.txt is not UTF-8 text (byte 4)"),
        (["x", "y", "--artwork", "a"], "--artwork names one artwork, and there are 2 prompts"),
        (["x", "--artwork", "Lake"], "line 3 names the artwork `lake` already"),
        (["x", "--artwork", "../a"], "column `artwork`: found '../a'; allowed"),
        (["x", "--seed", "new"], "column `seed`: found 'new'; allowed: whole number 0 to"),
        (["x", "--choose", "8"], "`candidates` is 7."),
        ([" "], "column `prompt`: it is blank"),
        (["a \x1b[31mred boat"], "Character 3 is U+001B"),
        (["a" * 10_001], "text of at most 10,000 characters"),
        (["x", "--config", "none.yaml"], "none.yaml is missing"),
        (["x", "--config", "wrong.yaml"], "wrong.yaml, line 1, `seed`: found 'x'"),
    ],
)
def test_what_the_table_would_refuse_is_not_written(folder, arguments, said, capsys):
    Path("blank.txt").write_text("# nothing\n\n")
    Path("latin.txt").write_bytes("café".encode("latin-1"))
    Path("wrong.yaml").write_text("seed: x\n")
    assert run_command("add_artwork", *arguments) == 1
    assert said in capsys.readouterr().err
    assert table() == TABLE


def test_all_errors_come_together_and_no_row_is_written(folder, capsys):
    Path("config/prompts.tsv").write_text("artwork\tprompt\tseed\nlake\ta lake\tx\n")
    before = table()
    assert run_command("add_artwork", "the sea", "\a", "--steps", "1") == 1
    assert "4 errors" in capsys.readouterr().err
    assert table() == before


def test_a_table_without_artworks_or_without_anything(folder):
    for content in ("artwork\tprompt\n", "", "# nothing yet"):
        Path("config/prompts.tsv").write_text(content)
        assert run_command("add_artwork", "the sea") == 0
        assert [*read()] == ["sea"]
        assert table().startswith(content.strip())


def test_words_that_the_models_were_never_shown_are_named(folder, capsys):
    assert run_command("add_artwork", "a zebra at sea") == 0
    assert "the embedded models were never shown `zebra`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("a painting of a sunset over a lake", "painting-of-sunset-over-lake"),
        ("The Sea’s END, at “night” -- (oil)", "seas-end-at-night-oil"),
        ("Ein Café im Frühling", "ein-cafe-im-fruhling"),
        ("夕焼けの湖", "artwork-1"),
        ("the", "artwork-1"),
        ("con", "artwork-1"),
        ("verify", "artwork-1"),
        ("../../etc/passwd", "etc-passwd"),
        ("lighthouse " * 9, "lighthouse-lighthouse-lighthouse"),
        ("x" * 90, "x" * 40),
        ("1. a boat", "1-boat"),
    ],
)
def test_the_name_that_a_prompt_gets(prompt, name):
    assert names(prompt) == [name]


def test_names_are_those_of_no_other_artwork_and_no_former_one(folder):
    assert names("Sea", "sea", known="SEA\tx\nsea-3\tx\n") == ["sea-2", "sea-4"]
    Path("pictures/sea").mkdir(parents=True)
    assert run_command("add_artwork", "the sea") == 0
    assert [*read()] == ["lake", "sea-2"]


@given(st.lists(st.text(max_size=60), min_size=1, max_size=3))
def test_any_prompt_is_added_as_it_is_or_refused_in_words(prompts):
    former = TableFile(Path("prompts.tsv"), b"prompt\tartwork\nx\tx\n")
    try:
        new, _, added = with_artworks(former, Config(results="none"), prompts, {})
    except UserError as error:
        assert "prompts.tsv" in str(error)  # noqa: PT017
        return
    assert new.content.startswith(b"prompt\tartwork\tseed\nx\tx\n")
    found = [plain(artwork.prompt) for artwork in added.values()]
    assert found == [*map(plain, prompts)]
