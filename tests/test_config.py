"""config.yaml: one schema says everything; file, documentation and code follow it."""

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import jsonschema
import pytest
import yaml

import check_config
from bigart.config import options, project
from bigart.config.artworks import Artwork, Config, read, read_config_file
from bigart.errors import UserError
from bigart.running import precision
from bigart.sampling import samplers
from bigart.sampling.schedule import spaced_timesteps

ROOT = Path(__file__).parents[1]
SHIPPED = ROOT / "config" / "config.yaml"


MODELS = ROOT / "config" / "models.yaml"


@pytest.fixture(autouse=True)
def _in_the_project(monkeypatch):
    monkeypatch.chdir(ROOT)  # the table of a config is looked for from here


def faults(mapping, *files) -> str:
    _, _, found = read(mapping, files)
    return "\n".join(map(str, found))


def refused(mapping, models=MODELS) -> list[str]:
    """Return the lines with which a run with this config is refused."""
    with pytest.raises(UserError) as error:
        project.load(mapping, (), models, ROOT)
    return str(error.value).splitlines()


# Nothing drifts apart


def test_the_shipped_config_holds_every_option_with_its_default():
    shipped = yaml.safe_load(SHIPPED.read_text())
    assert shipped == {name: part["default"] for name, part in options.options().items()}


def test_the_dataclass_has_every_option_in_the_type_of_the_schema():
    names = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}
    found = {
        field.name: getattr(field.type, "__name__", str(field.type)) for field in fields(Config)
    }
    assert found.keys() == options.options().keys()
    for name, part in options.options().items():
        types = {names[one["type"]] for one in part.get("anyOf", [part])}
        assert set(re.findall(r"\w+", found[name])) == types


def test_the_table_takes_the_options_marked_as_columns():
    columns = [name for name, part in options.options().items() if part.get("x-column")]
    assert list(options.columns()) == ["artwork", "prompt", *columns]
    assert {field.name for field in fields(Artwork)} == options.columns().keys()
    for name in columns:
        assert options.columns()[name] is options.options()[name]


def test_the_readme_documents_every_option_and_column():
    readme = (ROOT / "config" / "README.md").read_text()
    assert check_config.options_table() in readme
    for name in options.required_columns():
        part = options.columns()[name]
        assert f"| `{name}` | {part['description']} | {options.allowed(part)} |" in readme


def test_the_schemas_are_valid_and_so_are_their_defaults():
    schema = yaml.safe_load((options.SCHEMAS / "config.schema.yaml").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    assert validator.is_valid({name: options.default(name) for name in options.options()})


# What may be written


@pytest.mark.parametrize("mapping", [None, {}, {"seed": None, "negative_prompt": None}])
def test_left_out_or_blank_is_the_default(mapping):
    config, _, _ = read(mapping)
    assert (config.models, config.seed, config.guidance) == ("embedded", 42, 2.0)


@pytest.mark.parametrize(
    ("key", "written", "meant"),
    [
        ("detail", "false", False),  # Snakemake hands `--config detail=false` on as text
        ("detail", "OFF", False),
        ("detail", 1, True),
        ("seed", "7", 7),
        ("guidance", 3, 3.0),
        ("guidance", "3.5", 3.5),
        ("texture_amount", "1e-2", 0.01),
        ("upsample_steps", "fast27", "fast27"),
        ("upsample_steps", 50, 50),
        ("upsample_steps", "ddim50", "ddim50"),
        ("batch", "auto", "auto"),
        ("batch", "4", 4),
        ("device", "cuda:1", "cuda:1"),
        ("sampler", "dpm++", "dpm++"),
    ],
)
def test_values_are_read_in_the_type_of_their_option(key, written, meant):
    config, _, found = read({key: written})
    assert not found
    assert (getattr(config, key), type(getattr(config, key))) == (meant, type(meant))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("results/", "results"),
        ("./results//mine/", "results/mine"),
        ("../pictures", "../pictures"),
        ("~/pictures", "{home}/pictures"),
        (".", "{here}"),  # since ./lake would be warned of, and lake alone has no folder to name
    ],
)
def test_a_path_is_brought_into_the_form_that_snakemake_takes(
    tmp_path, monkeypatch, written, meant
):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    config, _, found = read({"results": written})
    assert not found
    assert config.results == meant.format(home=tmp_path / "home", here=ROOT)


def test_the_table_may_be_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.tsv").write_text("artwork\tprompt\nboat\ta boat\n")
    config, artworks, found = read({"table": "~/mine.tsv"})
    assert (list(artworks), found) == (["boat"], [])
    assert config.table == str(tmp_path / "mine.tsv")


def test_a_file_in_place_of_the_results_folder_is_found_before_anything_runs(tmp_path):
    (tmp_path / "notes").write_text("mine")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    for name in ("notes", "notes/pictures/new", "gone"):
        message = faults({"results": str(tmp_path / name)})
        assert message.startswith("config, `results`: ")
        assert f"{tmp_path / name.split('/')[0]}' is not a folder" in message
    assert not faults({"results": str(tmp_path / "new" / "er")})


def test_precision_auto_is_fp32_and_the_others_are_themselves():
    found = {name: precision.resolved(name) for name in options.options()["precision"]["enum"]}
    assert found == {"auto": "fp32", "fp32": "fp32", "bf16": "bf16", "fp16": "fp16"}


@pytest.mark.parametrize(
    ("key", "written", "said"),
    [
        ("choose", True, ["found true", "YAML reads yes", "1 to `candidates`"]),
        ("choose", 8, ["found 8", "1 to 7"]),
        ("seed", "1e3", ["found '1e3'", "Write it as 1000"]),
        ("seed", 7.0, ["found 7.0", "Write it as 7"]),
        ("seed", 7.5, ["found 7.5", "not a whole number"]),
        ("seed", -1, ["found -1", "0 to 4294967295"]),
        ("seed", "9" * 5000, ["(5002 characters)"]),
        pytest.param("seed", 10**5000, ["more than 1,000 digits"], id="enormous"),
        ("seed", [1, 2], ["found a list"]),
        ("detail", "maybe", ["found 'maybe'", "`true` or `false`"]),
        ("detail", 2, ["found 2"]),
        ("guidance", "0,5", ["Write the number with a point: 0.5"]),
        ("guidance", float("nan"), ["found nan", "finite"]),
        ("guidance", "inf", ["finite"]),
        ("guidance", "1e999", ["finite"]),
        ("guidance", "strong", ["not a number", "number 0 to 20"]),
        ("texture_amount", 0.5, ["found 0.5", "number 0 to 0.15"]),
        ("texture_size", 4, ["found 4", "`1`, `3`, `5`, `7` or `9`"]),
        ("sampler", "DDIMM", ["Did you mean `ddim`"]),
        ("format", "jpeg", ["Did you mean `jpg`"]),
        ("device", "gpu", ["found 'gpu'", "`cuda`"]),
        ("upsample_steps", "fast72", ["Did you mean `fast27`"]),
        ("upsample_steps", "ddim300", ["`ddim250` and `ddim334`"]),
        ("upsample_steps", 1, ["found 1"]),
        ("negative_prompt", False, ["found false", "In quotes it would be text"]),
        ("negative_prompt", 12, ["Put it in quotes"]),
        ("negative_prompt", "two\nlines", ["U+000A at character 4"]),
        ("negative_prompt", "half \ud83d", ["U+D83D"]),
        ("models", "../mine", ["found '../mine'", "config/models.yaml"]),
        ("results", "a{b}", ["without { and }"]),
        ("gidance", 2, ["no such option", "Did you mean `guidance`"]),
        ("Texture Amount", 0.1, ["Did you mean `texture_amount`"]),
        ("prompt", "a boat", ["column of the table"]),
        ("xyzzy", 1, ["The options are `models`"]),
        (True, 1, ["no such option", "YAML reads yes"]),
    ],
)
def test_a_fault_names_the_option_what_was_found_and_what_is_allowed(key, written, said):
    message = faults({key: written})
    assert str(key).lower() in message.lower()
    assert "\n" not in message
    for part in said:
        assert part in message


def test_only_config_files_are_mappings():
    assert "found a list" in faults(["seed"])


def test_every_fault_is_told_at_once_also_those_of_the_table_and_the_models(tmp_path):
    table = tmp_path / "mine.tsv"
    table.write_text("artwork\tprompt\tchoose\nboat\ta boat\t9\n../x\t\t\n")
    options = {"seed": "x", "sampler": "fast", "guidence": 2, "models": "embeded"}
    lines = refused({"table": str(table), **options})
    assert lines[0] == "7 faults:"
    for part in ("`seed`", "`sampler`", "`guidence`", "artwork `boat`, column `choose`"):
        assert sum(part in line for line in lines) == 1
    assert "Did you mean `embedded`?" in lines[-1]


def test_faults_of_the_table_of_models_are_told_with_the_others(tmp_path):
    content = yaml.safe_load(MODELS.read_text())
    content["files"]["embedded-base"]["path"] = str(tmp_path / "none.safetensors")
    (tmp_path / "absent.yaml").write_text(yaml.safe_dump(content))
    content["files"]["embedded-base"]["licens"] = "mine"
    (tmp_path / "faulty.yaml").write_text(yaml.safe_dump(content))
    for name, said in [
        ("absent.yaml", "none.safetensors, and is not there"),
        ("faulty.yaml", "Did you mean `licence`?"),
        ("none.yaml", "is missing"),
    ]:
        lines = refused({"seed": "x"}, tmp_path / name)
        assert lines[0].endswith("faults:")
        assert "config, `seed`: found 'x'" in lines[1]
        assert any(said in line for line in lines[2:])


def test_faults_name_the_line_of_the_file_that_the_value_came_from(tmp_path):
    first, second = tmp_path / "config.yaml", tmp_path / "mine.yaml"
    first.write_text("# mine\nseed: 1\n\nguidance: 99\n")
    second.write_text("seed: -1\n")
    message = faults({"seed": -1, "guidance": 99, "choose": 50}, first, second)
    assert f"{second}, line 1, `seed`: found -1" in message
    assert f"{first}, line 4, `guidance`: found 99" in message
    assert "config, `choose`: found 50" in message  # from --config: no file has it


def test_a_key_that_stands_twice_is_a_fault(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("seed: 1\nsteps: 9\nseed: 2\n")
    message = faults(read_config_file(file), file)
    assert message == f"{file}, line 3, `seed`: stands a second time; it stands in line 1 already"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"seed: [1\nsteps: 2\n", "line 2: this is not YAML"),
        (b"seed: 1\n\tsteps: 2\n", "line 2: this is not YAML"),
        (b"- seed\n", "found a list"),
        (b"seed\n", "found 'seed'"),
        (b"table: caf\xe9.tsv\n", "0xE9 (perhaps 'é'"),
        ("seed: 1\n".encode("utf-16"), "UTF-16"),
        (b"seed: 2022-13-01\n", "not a value that YAML knows"),
        (b"a: \x07\n", "not YAML"),
        (b"a: !!python/object:os.system {}\n", "line 1: this is not YAML"),
    ],
)
def test_a_file_that_is_no_yaml_says_where(tmp_path, content, said):
    file = tmp_path / "config.yaml"
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"config\.yaml") as error:
        read_config_file(file)
    assert said in str(error.value)


def test_a_missing_config_and_an_empty_one(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_config_file(tmp_path / "none.yaml")
    with pytest.raises(UserError, match="a folder"):
        read_config_file(tmp_path)
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    assert read_config_file(tmp_path / "empty.yaml") == {}


# The command


def check(*arguments, cwd=ROOT):
    command = [sys.executable, ROOT / "workflow/scripts/check_config.py", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_the_command_sums_up_the_shipped_config():
    done = check()
    assert done.returncode == 0
    assert "painted by the embedded models" in done.stdout
    assert "Not the default" not in done.stdout
    assert "italian-villa: 'a painting of an Italian villa'" in done.stdout


def test_the_command_shows_what_differs_from_the_defaults(tmp_path):
    (tmp_path / "t.tsv").write_text("artwork\tprompt\tseed\nboat\ta boat\t5\n")
    (tmp_path / "c.yaml").write_text("guidance: 4\ntable: t.tsv\n")
    done = check("c.yaml", cwd=tmp_path)
    assert "1 artwork in t.tsv" in done.stdout
    assert "guidance: 4.0 (default 2.0)" in done.stdout
    assert "seed 5" in done.stdout


def test_the_command_warns_of_words_that_the_models_were_never_shown(tmp_path):
    table = tmp_path / "prompts.tsv"
    table.write_text("artwork\tprompt\ndog\ta painting of a corgi\nlake\tsunset over a lake\n")
    done = check("--table", table)
    assert done.returncode == 0
    assert "never shown `corgi`" in done.stdout
    assert "`models: glide` knows far more" in done.stdout
    assert "`lake`" not in done.stdout


def test_the_command_cuts_prompts_where_the_chosen_models_do(tmp_path):
    table = tmp_path / "prompts.tsv"
    table.write_text("artwork\tprompt\nsea\t" + "blue sea " * 40 + "\n")
    assert "the models read 64 tokens and this has 80" in check("--table", table).stdout


def test_the_command_lists_faults_without_a_traceback(tmp_path):
    (tmp_path / "t.tsv").write_text("artwork\tprompt\nboat\t\nboat\ta boat\n")
    (tmp_path / "c.yaml").write_text("models: none\n")
    done = check(tmp_path / "c.yaml", "--table", tmp_path / "t.tsv")
    assert done.returncode == 1
    assert done.stderr.startswith("check_config: error: 3 faults:")
    assert "Traceback" not in done.stderr
    assert check("nowhere.yaml").returncode == 1


# The schema agrees with the samplers


def test_the_samplers_of_the_schema_are_the_ones_there_are():
    assert set(options.options()["sampler"]["enum"]) == set(samplers.SAMPLERS)


def test_upsample_steps_takes_the_strides_that_the_schedule_can_make():
    for count in range(2, 1001):
        accepted = read_or_none("upsample_steps", f"ddim{count}") is not None
        try:
            made = len(spaced_timesteps(f"ddim{count}")) == count
        except ValueError:
            made = False
        assert accepted == made


def read_or_none(option, value):
    try:
        return options.read(option, value)
    except options.RefusedError:
        return None
