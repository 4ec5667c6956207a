"""What the documentation says can be typed, followed and found: commands, links, messages."""

import ast
import re
import shlex
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml
from snakemake.cli import parse_args
from snakemake.exceptions import WorkflowError

from bigart import stages
from projects import ROOT

SCRIPTS = ROOT / "workflow/scripts"
PAGES = [
    *ROOT.glob("*.md"),
    *ROOT.glob("docs/*.md"),
    *ROOT.glob("config/*.md"),
    *ROOT.glob("training/*.md"),
    *ROOT.glob("tests/**/README.md"),
]
#: What a target may look like here: a file, or a rule of the Snakefile.
TARGETS = (
    r"[\w./-]+\.(png|safetensors)|candidates|gallery|gallery_candidates|sweeps|proofs|weights"
    r"|verify"
)
#: Messages of other programs in the table of docs/when-it-stops.md.
FOREIGN = re.compile(
    "error:|Directory cannot|UnicodeDecodeError|_read_locks|--unlock|Killed|Nothing to|"
    ".cache/snakemake|dictionary update"
)


def commands() -> list[tuple[str, str]]:
    """The commands in code blocks and between backticks."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        blocks = re.findall(
            r"^ {4,}(?:nohup )?(?:\S*/bin/)?(snakemake [^>\n]*)", text, re.MULTILINE
        )
        inline = re.findall(r"`(snakemake [^`]*)`", text)
        found += [(page.name, " ".join(command.split())) for command in blocks + inline]
    return found


@pytest.mark.parametrize(("page", "command"), commands())
def test_a_documented_command_is_understood(
    page: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Snakemake's `--resources gpu=1 FILE`, for instance, takes the file for a resource."""
    monkeypatch.chdir(ROOT)
    _, arguments = parse_args(shlex.split(command, comments=True)[1:])
    for target in arguments.targets:
        assert re.fullmatch(TARGETS, str(target)), page


def test_a_command_that_is_not_understood_is_found() -> None:
    with pytest.raises((SystemExit, ValueError, WorkflowError)):
        parse_args(["--cores", "8", "--resources", "gpu=1", "results/sunset-lake/final.png"])


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\((?!\w+:)([^)\s]+)\)", page.read_text(encoding="utf-8")):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def named(pattern: str, files: Iterable[Path]) -> set[tuple[str, str]]:
    """What matches in files: the file and the match."""
    return {
        (str(path.relative_to(ROOT)), name)
        for path in files
        for name in re.findall(pattern, path.read_text(encoding="utf-8"))
    }


def test_every_page_that_a_file_names_is_there() -> None:
    sources = [
        path
        for folder in ("workflow", "profiles", "config", "tests", "benchmarks", "training")
        for suffix in ("py", "smk", "yaml", "tsv")
        for path in (ROOT / folder).rglob(f"*.{suffix}")
    ]
    found = named(r"\bdocs/[\w-]+\.md", [*sources, *PAGES, ROOT / "Snakefile"])
    assert found
    assert [one for one in found if not (ROOT / one[1]).exists()] == []


def test_every_file_that_a_page_names_is_there() -> None:
    found = named(r"`((?!results/)\w+/[\w/.-]+\.(?:py|smk|html|jpg)|envs/[\w.-]+)`", PAGES)
    folders = (ROOT, SCRIPTS, SCRIPTS / "bigart")
    assert found
    assert [one for one in found if not any((folder / one[1]).exists() for folder in folders)] == []


def test_the_messages_of_the_table_are_those_of_the_program() -> None:
    page = (ROOT / "docs/when-it-stops.md").read_text(encoding="utf-8")
    table = page.partition("## Messages")[2].partition("\n## ")[0]
    first_column = re.findall(r"^\| (.*?) \|", table, re.MULTILINE)
    quoted = {m for cell in first_column for m in re.findall(r"`([^`]+)`", cell)}
    assert len(quoted) > 12
    said = "\n".join(
        node.value
        for path in SCRIPTS.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    for message in quoted:
        parts = re.split(r"\.\.\. | 0 ", message)
        assert FOREIGN.match(message) or all(part in said for part in parts), message


def test_the_table_of_stages_is_that_of_the_program() -> None:
    page = (ROOT / "docs/paint.md").read_text(encoding="utf-8")
    assert f"<!-- stages -->\n{stages.table()}<!-- /stages -->" in page


def test_the_readme_is_short_and_begins_with_the_commands() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "# BIG.art"
    assert any("make demo" in line for line in lines[:30])
    assert len(lines) <= 130
    assert len(" ".join(lines).split()) <= 1300


def test_the_catalog_of_workflows_finds_what_it_asks_for() -> None:
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert "mandatory-flags" not in usage
    assert usage["report"] == usage["software-stack-deployment"]["report"]
