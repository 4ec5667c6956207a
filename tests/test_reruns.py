"""What reruns when: after an edit of the table, the config, a model, the code, or a release.

One small project is painted once, with tiny models (`tiny` in conftest.py). Every test then changes
something and reads Snakemake's list of jobs; what it changed is put back.
"""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import safetensors.torch
import torch

from bigart.config.choices import Choices
from bigart.config.options import Config
from bigart.config.table_file import TableFile
from bigart.metadata import picture_file, recipe
from bigart.pictures import images
from bigart.running.code_version import OF_ARCHITECTURE
from projects import COMMANDS, FILES, ROOT, TABLE, Project, add_models

LIBRARY = ROOT / "workflow/scripts/bigart"
RULES = list(FILES)
#: The folders whose code decides what a picture looks like, but for the other engine's.
COMPUTING = ("networks", "sampling", "pictures")
OTHER_ENGINE = "networks/upstream"
#: What only an upscaler runs that the project does not have.
OF_OTHER_MODELS = (*OF_ARCHITECTURE["srvggnet"], "networks/native/rolling.py")


@pytest.fixture
def project(tiny: Project) -> Iterator[Project]:
    """The painted project; its table, config and code are put back afterwards."""
    paths = [*(tiny.folder / "workflow").rglob("*"), *(tiny.folder / "config").rglob("*")]
    before = {path: path.read_bytes() for path in paths if path.suffix not in ("", ".pyc")}
    yield tiny
    for path, content in before.items():
        if path.read_bytes() != content:
            path.write_bytes(content)


def of(artwork: str, *rules: str) -> set[str]:
    return {f"{rule} {artwork}" for rule in rules}


def since(rule: str) -> list[str]:
    """The rule and all that need its picture; nothing needs the contact sheet."""
    return [rule] if rule == "contact_sheet" else RULES[RULES.index(rule) :]


def of_both(*rules: str) -> set[str]:
    """The jobs after a change of these rules. The villa goes without detail."""
    lake = {later for rule in rules for later in since(rule)}
    villa = {later for rule in rules if rule != "detailed" for later in since(rule)}
    return of("lake", *lake) | of("villa", *villa - {"detailed"})


# What needs no rerun


def test_touching_and_checking_out_reruns_nothing(project: Project) -> None:
    assert project.jobs() == set()
    for path in project.folder.rglob("*"):
        if path.is_file() and ".snakemake" not in path.parts:
            path.touch()
    assert project.jobs() == set()


def test_a_checkout_that_moves_reruns_nothing(project: Project, tmp_path: Path) -> None:
    assert Project(tmp_path / "elsewhere", project.folder).jobs() == set()


def test_the_machine_reruns_nothing(project: Project) -> None:
    assert project.jobs("--config", "device=cpu", "batch=1") == set()


# The table


@pytest.mark.parametrize(
    ("column", "cell", "rules"),
    [
        ("prompt", "a bowl of fruit", since("thumbnails")),
        ("seed", "4", since("thumbnails")),
        ("steps", "5", since("thumbnails")),
        ("sampler", "ddim", since("thumbnails")),
        ("guidance", "3.5", since("thumbnails")),
        ("guidance_interval", "0.2 to 1", since("thumbnails")),
        ("negative_prompt", "dark", since("thumbnails")),
        ("upsample_temp", "0.9", since("upsampled")),
        ("upsample_steps", "4", since("upsampled")),
        ("upsample_guidance", "2", since("upsampled")),
        ("upsample_negative_prompt", "dark", since("upsampled")),
        ("choose", "1", since("enlarged_1024")),
        ("texture_amount", "0.1", since("textured_1024")),
        ("texture_size", "5", since("textured_1024")),
        ("detail", "no", since("enlarged_4096")),
        ("final_texture_amount", "0", since("textured_4096")),
        ("final_texture_size", "1", since("textured_4096")),
        ("format", "jpg", since("final")),
    ],
)
def test_editing_a_cell_reruns_from_the_stage_that_it_changes(
    project: Project, column: str, cell: str, rules: list[str]
) -> None:
    project.edit(cell, "lake", column)
    assert project.jobs() == of("lake", *rules)


def test_choosing_in_the_gallery_samples_nothing_again(project: Project) -> None:
    table = TableFile.read(project.table)
    table.with_cell("lake", "format", "png").save(table)  # a new column at its default
    choices = Choices(project.table, Config(candidates=2))
    choices.choose("lake", 1)
    choices.choose("villa", 1)  # what it was, by the config
    assert project.jobs() == of("lake", *since("enlarged_1024"))
    choices.undo()
    choices.undo()
    assert project.jobs() == set()


def test_what_nobody_sees_in_a_prompt_reruns_nothing(project: Project) -> None:
    prompt = project.table.read_text().splitlines()[1].split("\t")[1]
    project.edit("\u200b" + prompt.replace(" ", "\u00a0 \u2060"), "lake", "prompt")
    assert project.jobs() == set()


def test_adding_and_removing_rows(project: Project) -> None:
    project.table.write_text(TABLE + "fruit\ta bowl of fruit\t\t\t\n")
    assert project.jobs() == of("fruit", *RULES)
    assert project.jobs("candidates") == of("fruit", "thumbnails", "upsampled", "contact_sheet")
    project.table.write_text(TABLE.replace("\nvilla", "\n# villa"))
    assert project.jobs() == set()


def test_a_change_reruns_and_settles(project: Project) -> None:
    """After it has run, there is nothing left to do."""
    project.edit("jpg", "villa", "format")
    project.snakemake()
    assert project.jobs() == set()
    final = project.folder / "results/villa/final.jpg"
    assert images.read_rgb(final).shape == (1024, 1024, 3)


# Models


def test_a_model_of_ones_own(project: Project) -> None:
    """A checkpoint is converted once; another content in it repaints, in the same run."""
    own = project.folder / "models/own.pth"
    mine = ["--config", "models=mine"]
    entry = {"architecture": "rrdbnet", "path": "models/own.pth"}
    add_models(project.folder, {"own": entry}, enlarger="own")
    state = safetensors.torch.load_file(project.folder / "models/embedded/enlarger.safetensors")
    torch.save(state, own)
    both = of_both("enlarged_1024")
    assert project.jobs(*mine) == both | {"convert own"}
    project.snakemake("weights", *mine)
    assert project.jobs(*mine) == both
    torch.save({name: value * 1.5 for name, value in state.items()}, own)
    assert project.jobs(*mine) == both | {"convert own"}


def test_a_missing_or_damaged_model_is_named(project: Project) -> None:
    path = project.folder / "models/embedded/detailer.safetensors"
    content = path.read_bytes()
    try:
        path.write_bytes(content[: len(content) // 2])
        project.edit("yes", "villa", "detail")
        done = project.snakemake("results/villa/5-detailed-1024.png", check=False)
        told = done.stdout + done.stderr
        assert done.returncode != 0
        assert "detailer.safetensors is damaged" in told
        assert "Traceback" not in told
        assert not list((project.folder / "results/villa").glob("*5-detailed*"))
        path.unlink()
        done = project.snakemake("--dry-run", check=False)
        assert "embedded-detailer" in done.stdout + done.stderr
    finally:
        path.write_bytes(content)


# The code


def module_files() -> list[str]:
    """The modules of the library, relative to it."""
    return sorted(str(path.relative_to(LIBRARY)) for path in LIBRARY.rglob("*.py"))


def computes(module: str) -> bool:
    return module.startswith(COMPUTING) and not module.startswith(OTHER_ENGINE)


IMPORTS = """
import json, os, sys
import numpy, PIL.Image, safetensors.torch, torch

for command in sys.argv[1:]:
    if os.fork() == 0:
        __import__(command)
        files = [module.__file__ for name, module in sys.modules.items() if "bigart" in name]
        print(json.dumps([command, files]), flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.fixture(scope="module")
def imported() -> dict[str, set[str]]:
    """Command -> the modules of the library that Python has loaded once the command is imported."""
    names = sorted({command.removesuffix(".py") for command in COMMANDS.values()})
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS, *names],
        cwd=LIBRARY.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    found = dict(map(json.loads, done.stdout.splitlines()))
    return {
        f"{name}.py": {str(Path(file).relative_to(LIBRARY)) for file in files}
        for name, files in found.items()
    }


@pytest.mark.parametrize("module", [*filter(computes, module_files())])
def test_code_that_computes_reruns_the_stages_that_import_it(
    module: str, project: Project, imported: dict[str, set[str]]
) -> None:
    path = project.folder / "workflow/scripts/bigart" / module
    path.write_text(path.read_text() + "\nADDED = 1\n")
    changed = [rule for rule, command in COMMANDS.items() if module in imported[command]]
    if module in OF_OTHER_MODELS:
        changed = []
    assert project.jobs() == of_both(*changed)


def test_some_code_reruns_some_stages(imported: dict[str, set[str]]) -> None:
    """What the test above expects is neither nothing nor everything."""
    texture = [command for command, files in imported.items() if "pictures/texture.py" in files]
    assert texture == ["texture.py"]
    assert "networks/native/vqgan.py" in imported["detail.py"] - imported["enlarge.py"]


def test_a_release_reruns_nothing(project: Project) -> None:
    """Version, comments, docstrings, code that computes nothing, an option at its default."""
    scripts = project.folder / "workflow/scripts"
    commands = [path.name for path in scripts.glob("*.py")]
    assert len(commands) > 10
    for name in [*(f"bigart/{module}" for module in module_files()), *commands]:
        path = scripts / name
        text = path.read_text() + "\n# a comment\n"
        text = text.replace('"""', '"""Said in other words: ', 1)
        if not computes(name.removeprefix("bigart/")):
            text += "ADDED = 1\n"
        ast.parse(text)
        path.write_text(text)
    replace(scripts / "bigart/__init__.py", '"0.1.0"', '"0.2.0"')
    options = scripts / "bigart/config/options.py"
    replace(options, "    seed: _Seed", '    glow: float = _option(0.5, "new")\n    seed: _Seed')
    replace(scripts / "bigart/stages.py", '"--steps"', '"--glow": "glow", "--steps"')
    assert project.jobs() == set()
    # it is there, and counts where it is set
    project.edit("0.7", "lake", "glow")
    assert project.jobs() == of("lake", *since("thumbnails"))


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, path
    path.write_text(text.replace(old, new, 1))


# Errors of the user


def test_errors_of_the_table_come_together(project: Project) -> None:
    project.table.write_text("artwork\tprompt\tchose\n../out\ta\t9\nlake\t\t1\n")
    done = project.snakemake("--dry-run", check=False)
    told = done.stdout + done.stderr
    assert done.returncode != 0
    assert "Traceback" not in told
    for part in ("`../out`", "`chose`", "`choose`", "`lake`", "line 3"):
        assert part in told


@pytest.mark.parametrize("config", ["models=embeded", "candidates=0", "colour=red"])
def test_errors_of_the_config(project: Project, config: str) -> None:
    done = project.snakemake("--dry-run", "--config", config, check=False)
    assert done.returncode != 0
    assert "Traceback" not in done.stdout + done.stderr
    assert config.split("=")[0] in done.stdout + done.stderr


def test_a_target_that_is_not_in_the_table(project: Project) -> None:
    done = project.snakemake("--dry-run", "results/leke/final.png", check=False)
    told = done.stdout + done.stderr
    assert done.returncode == 1
    assert "error: config/prompts.tsv has no artwork `leke`. Did you mean `lake`?" in told
    assert "Traceback" not in told


# Recipes


def test_the_final_carries_the_whole_recipe(project: Project) -> None:
    made = picture_file.read_recipe(project.folder / "results/villa/final.png")
    stages = [stage["stage"] for stage in made["stages"]]
    assert stages[:3] == ["thumbnails", "upsampled", "enlarged-1024"]
    assert "detailed" not in stages
    assert recipe.find(made, "prompt") == "an \"Italian\" villa; $HOME `ls` 'é' 🎨"
    assert recipe.find(made, "seed") == 42
    assert recipe.find(made, "candidate") == 1
    for stage in made["stages"]:
        for name, sha256 in stage.get("models", {}).items():
            assert name.endswith(".safetensors")
            assert len(bytes.fromhex(sha256)) == 32
