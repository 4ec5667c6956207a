"""What the documentation tells people to type, Snakemake takes as it is meant."""

import re
import shlex

import pytest
from snakemake.cli import parse_args
from snakemake.exceptions import WorkflowError

from projects import ROOT

PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("config/*.md")]
#: What a target may look like here: a file, or a rule of the Snakefile.
TARGETS = r"[\w./-]+\.(png|safetensors)|candidates|weights|verify"


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
