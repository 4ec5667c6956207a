"""config.yaml: each option is defined once; schema, documentation and commands follow it."""

import argparse
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import check_config
from bigart.config import options, project
from bigart.config.options import Artwork, Config
from bigart.errors import UserError
from bigart.sampling import samplers
from bigart.sampling.schedule import spaced_timesteps

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _in_the_project(monkeypatch):
    monkeypatch.chdir(ROOT)  # the table of a config is looked for from here


def errors(mapping, *files) -> str:
    _, _, found = project.read(mapping, files)
    return "\n".join(map(str, found))


# Nothing drifts apart


def test_the_shipped_config_holds_every_option_with_its_default():
    assert yaml.safe_load((ROOT / "config" / "config.yaml").read_text()) == options.DEFAULTS


def test_the_readme_documents_every_option_and_column():
    readme = (ROOT / "config" / "README.md").read_text()
    assert check_config.options_table() in readme
    for name in options.REQUIRED:
        meaning = options.PROPERTIES[name]["description"]
        assert f"| `{name}` | {meaning} | {options.allowed(name)} |" in readme


def test_the_schemas_in_the_repository_are_those_of_the_options():
    for path, text in check_config.schemas().items():
        assert path.read_text() == text, "write them with check_config.py --schemas"
    config, row = map(jsonschema.Draft202012Validator, options.SCHEMAS.values())
    assert config.is_valid(dict(options.DEFAULTS))
    assert row.is_valid({"artwork": "boat", "prompt": "a boat", "seed": 1})
    for wrong in ({"seed": -1}, {"sampler": "x"}, {"sead": 1}, {"batch": 0}, {"results": "{a}"}):
        assert not config.is_valid(wrong)
    for name in ("con.txt", "Verify", "a b", "a."):
        assert not row.is_valid({"artwork": name, "prompt": "a boat"})


# The flags of the commands


def parsed(*arguments):
    parser = argparse.ArgumentParser()
    for option in options.PROPERTIES:
        options.add_option(parser, f"--{option.replace('_', '-')}", option)
    return parser.parse_args(arguments)


@given(
    st.fixed_dictionaries(
        {"prompt": st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]))},
        optional={
            "texture_amount": st.floats(0, 0.15) | st.sampled_from(["1e-07", -0.0, 5e-324]),
            "negative_prompt": st.sampled_from(["", "--steps=3", "-1", "a = b", "$x 'y' \"z\""]),
            "upsample_steps": st.sampled_from(["fast27", "ddim50", 7]),
        },
    )
)
def test_a_command_reads_from_its_flags_exactly_the_values_of_an_artwork(row):
    row |= {"artwork": "boat", "prompt": f"-{row['prompt']}"}
    artwork, _ = options.checked(Artwork, row)
    found = parsed(
        *(f"--{name.replace('_', '-')}={value}" for name, value in artwork if value is not None)
    )
    for name, value in artwork:
        assert repr(getattr(found, name)) == repr(value)


def test_a_command_refuses_a_value_in_the_words_of_the_config(capsys):
    for flag, name, value in [
        ("--texture-amount", "texture_amount", "0,5"),
        ("--upsample-steps", "upsample_steps", "ddim51"),
        ("--prompt", "prompt", "a\nboat"),
    ]:
        with pytest.raises(SystemExit) as stopped:
            parsed("--artwork=a", "--prompt=b", f"{flag}={value}")
        assert stopped.value.code == 2
        _, wrong = options.checked(Artwork, {"artwork": "a", "prompt": "b", name: value})
        assert f"argument {flag}: {wrong[name]}" in capsys.readouterr().err


def test_the_help_of_a_flag_says_meaning_range_and_default(capsys):
    with pytest.raises(SystemExit):
        parsed("--help")
    text = " ".join(capsys.readouterr().out.split())
    assert "grey grain added at 1024 pixels: number 0 to 0.15 (default: 0.037)" in text


# What may be written


@pytest.mark.parametrize("mapping", [None, {}, {"seed": None, "results": ""}])
def test_left_out_or_blank_is_the_default(mapping):
    assert project.read(mapping)[0] == Config()


@pytest.mark.parametrize(
    ("key", "written", "meant"),
    [
        ("detail", "false", False),  # Snakemake hands `--config detail=false` on as text
        ("detail", 1, True),
        ("seed", "7", 7),
        ("guidance", 3, 3.0),
        ("guidance", -0.0, 0.0),  # or it would rerun what 0 has painted
        ("texture_amount", "1e-2", 0.01),
        ("upsample_steps", "ddim50", "ddim50"),
        ("guidance_interval", "0.20  to\u00a0.8", "0.2 to 0.8"),
        ("guidance_interval", ".2 to 1.", "0.2 to 1"),
        ("batch", "4", 4),
        ("seed", "\u200b４２\u00a0", 42),
        ("choose", "2.000", 2),  # two thousand there are not
        ("upsample_steps", "fast\u00ad27", "fast27"),
        ("results", "re\u200dsults", "re\u200dsults"),  # a folder's name is what it is
    ],
)
def test_values_are_read_in_the_type_of_their_option(key, written, meant):
    config, _, found = project.read({key: written})
    assert not found
    assert repr(getattr(config, key)) == repr(meant)


def test_a_path_is_brought_into_the_form_that_snakemake_takes(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for written, meant in [
        ("results/", "results"),
        ("./results//mine/", "results/mine"),
        ("~/pictures", f"{tmp_path}/pictures"),
        (".", str(ROOT)),  # ./lake would be warned of, and lake alone has no folder to name
    ]:
        config, _, found = project.read({"results": written})
        assert (config.results, found) == (meant, [])


def test_a_file_in_place_of_the_results_folder_is_found_before_anything_runs(tmp_path):
    (tmp_path / "notes").write_text("mine")
    for name in ("notes", "notes/pictures/new"):
        message = errors({"results": str(tmp_path / name)})
        assert message.startswith("config, `results`: ")
        assert f"{tmp_path / name.split('/')[0]}' is not a folder" in message
    assert not errors({"results": str(tmp_path / "new" / "er")})


@pytest.mark.parametrize(
    ("key", "written", "said"),
    [
        ("choose", True, ["found true", "YAML reads yes", "1 to `candidates`"]),
        ("seed", [1, 2], ["found [1, 2]"]),
        ("guidance", float("nan"), ["found nan", "number 0 to 20"]),
        ("device", "gpu", ["found 'gpu'", "A GPU of NVIDIA or AMD is `cuda`", "`auto` takes"]),
        ("device", "metal", ["one of Apple `mps`"]),
        ("device", 0, ["found 0", "`cuda:N` (the N-th GPU, from 0)", "is `cuda`"]),
        ("seed", -1, ["found -1", "No seed is drawn by chance", "write another number"]),
        ("seed", "new", ["the same one paints the same pictures again"]),
        ("guidance_interval", 0.5, ["found 0.5", "`0.2 to 0.8`", "`to` between them"]),
        ("guidance_interval", [0.2, 0.8], ["found [0.2, 0.8]", "`to` between them"]),
        ("guidance_interval", "0.8 to 0.2", ["the smaller one first"]),
        ("guidance_interval", "0.2 to 8", ["two numbers 0 to 1"]),
        ("guidance_interval", "0.2-0.8", ["`to` between them"]),
        ("negative_prompt", 12, ["Put it in quotes"]),
        ("negative_prompt", "half \ud83d", ["Character 6 is not UTF-8"]),
        ("results", "a{b}", ["without { and }"]),
        ("Texture Amount", 0.1, ["Did you mean `texture_amount`"]),
        ("prompt", "a boat", ["column of the table"]),
        ("xyzzy", 1, ["The options are `models`"]),
        (True, 1, ["no such option"]),
    ],
)
def test_an_error_names_the_option_what_was_found_and_what_is_allowed(key, written, said):
    message = errors({key: written})
    assert str(key).lower() in message.lower()
    assert "\n" not in message
    for part in said:
        assert part in message


def test_every_error_comes_at_once_also_those_of_the_table_and_the_models(tmp_path):
    table = tmp_path / "mine.tsv"
    table.write_text("artwork\tprompt\tchoose\nboat\ta boat\t9\n../x\t\t\n")
    options = {"seed": "x", "sampler": "fast", "guidence": 2, "models": "embeded"}
    with pytest.raises(UserError) as error:
        project.load({"table": str(table), **options}, (), ROOT / "config/models.yaml", ROOT)
    lines = str(error.value).splitlines()
    assert lines[0] == "7 errors:"
    for part in ("`seed`", "`sampler`", "`guidence`", "artwork `boat`, column `choose`"):
        assert sum(part in line for line in lines) == 1
    assert "Did you mean `embedded`?" in lines[-1]


def test_a_wrong_path_of_the_table_is_the_only_error_of_the_table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where there is none by the default's name
    assert errors({"table": "a{b}"}).startswith("config, `table`: found 'a{b}'; allowed: a path")
    assert "\n" not in errors({"table": "a{b}"})


def test_errors_name_the_line_of_the_file_that_the_value_came_from(tmp_path):
    first, second = tmp_path / "config.yaml", tmp_path / "mine.yaml"
    first.write_text("# mine\nseed: 1\n\nguidance: 99\n")
    second.write_text("seed: -1\n")
    message = errors({"seed": -1, "guidance": 99, "choose": 50, "candidates": 0}, first, second)
    assert f"{second}, line 1, `seed`: found -1" in message
    assert f"{first}, line 4, `guidance`: found 99" in message
    assert "config, `candidates`: found 0" in message  # from --config: no file has it


def test_a_key_that_stands_twice_is_an_error(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("seed: 1\nsteps: 9\nseed: 2\n")
    message = errors({"seed": 2, "steps": 9}, file)
    assert message == f"{file}, line 3, `seed`: stands a second time; it stands in line 1 already"


# The command


def check(*arguments):
    """Run the command in this process."""
    check_config.run(check_config.parser().parse_args(map(str, arguments)))


def test_the_command_sums_up_the_shipped_config_and_ones_own(capsys, tmp_path, monkeypatch):
    check()
    printed = capsys.readouterr().out
    assert "config/prompts.tsv, painted by the embedded models" in printed
    assert "config.yaml: the defaults" in printed
    assert "prompt 'a painting of an Italian villa'" in printed
    monkeypatch.chdir(tmp_path)
    Path("t.tsv").write_text("artwork\tprompt\tseed\nboat\ta boat\t5\n")
    Path("c.yaml").write_text("guidance: 4\n")
    check("c.yaml", "--table", "t.tsv")
    printed = capsys.readouterr().out
    assert "config.yaml: table 't.tsv', guidance 4.0\n" in printed
    assert "boat: seed 5, guidance 4.0, artwork 'boat', prompt 'a boat'\n" in printed


@pytest.mark.parametrize(
    ("content", "said"), [("seed: [1\nsteps: 2\n", "line 2: this is not YAML"), ("- a", "['a']")]
)
def test_the_command_names_a_file_that_is_no_config(tmp_path, content, said):
    (tmp_path / "c.yaml").write_text(content)
    with pytest.raises(UserError, match=r"c\.yaml") as error:
        check(tmp_path / "c.yaml", "--table", "t.tsv")
    assert said in str(error.value)


def test_the_command_warns_of_unknown_words_and_of_what_is_cut(capsys, tmp_path):
    table = tmp_path / "prompts.tsv"
    table.write_text(
        "artwork\tprompt\tnegative_prompt\ndog\ta Zebra; a zebra's lake\tsmog, zeppelin\n"
        f"sea\t{'blue sea ' * 33}\n"
    )
    check("--table", table)
    cut, of_prompt, of_negative, known = capsys.readouterr().out.splitlines()[-4:]
    assert "`sea`, column `prompt`: the models read 64 tokens and this has 66" in cut
    assert cut.endswith("this end is cut: 'blue sea'")
    assert "`dog`, column `prompt`: the embedded models were never shown `zebra` and" in of_prompt
    assert "`negative_prompt`: the embedded models were never shown `smog`, `zep" in of_negative
    assert "`models: glide` knows far more" in known


def test_the_command_lists_errors_without_a_traceback(tmp_path):
    (tmp_path / "t.tsv").write_text("artwork\tprompt\nboat\t\nboat\ta boat\n")
    (tmp_path / "c.yaml").write_text("models: none\n")
    command = [sys.executable, ROOT / "workflow/scripts/check_config.py", tmp_path / "c.yaml"]
    command += ["--table", tmp_path / "t.tsv"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("check_config: error: 3 errors:\n  ")


def test_the_samplers_of_the_options_are_the_ones_there_are():
    assert set(options.PROPERTIES["sampler"]["enum"]) == set(samplers.SAMPLERS)


def test_upsample_steps_takes_the_strides_that_the_schedule_can_make():
    for count in range(2, 1001):
        _, wrong = options.checked(Config, {"upsample_steps": f"ddim{count}"})
        try:
            made = len(spaced_timesteps(f"ddim{count}")) == count
        except ValueError:
            made = False
        assert bool(wrong) != made
