"""`engine: upstream` and `snakemake verify`, with stand-ins for the original packages.

What the real packages compute is the matter of test_upstream.py; here it is which engine runs, what
is compared and what a user is told.
"""

import argparse
import base64
import io
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

import verify_report
import verify_stage
import verify_verdict
from bigart.errors import UserError
from bigart.metadata import picture_file
from bigart.pictures import images
from bigart.running.engines import Package
from bigart.stages import COMPARED, NETWORK_STAGES
from bigart.verify import compare
from bigart.verify.compare import Run
from bigart.weights.network_file import load_metadata
from projects import ROOT, Project, run_command

pytestmark = pytest.mark.cluster

STAND_INS = ROOT / "tests/stand_ins"
# a stand-in is built with this project's networks
VARIABLES = {"PYTHONPATH": f"{STAND_INS}:{ROOT / 'workflow/scripts'}"}
TABLE = "artwork\tprompt\nlake\ta painting of a sunset over a lake\n"
STAGES = list(COMPARED)


@pytest.fixture(scope="module")
def verified(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with tiny models after `snakemake verify`."""
    project = Project(tmp_path_factory.mktemp("verify") / "project")
    project.table.write_text(TABLE)
    project.use_tiny_models()
    project.use_tiny_judge()
    project.snakemake("verify", variables=VARIABLES)
    return project


def figures(project: Project) -> dict:
    return json.loads((project.folder / "results/verify/report.json").read_text())


def test_every_stage_is_compared_in_both_engines(verified: Project) -> None:
    found = figures(verified)
    assert found["agrees"] is True
    assert [stage["stage"] for stage in found["stages"]] == STAGES
    for stage in found["stages"]:
        assert stage["native"]["engine"] == "native"
        assert stage["upstream"]["engine"] in ("glide-text2im", "basicsr", "taming-transformers")
        for engine in ("native", "upstream"):
            assert stage[engine]["seconds"] > 0
            assert stage[engine]["peak_bytes"] > 50e6
            assert {"python", "torch", "numpy"} <= stage[engine]["versions"].keys()
        kinds = {each["kind"] for each in stage["differences"]}
        assert "numbers" in kinds
        assert len(kinds) >= 2 or stage["stage"] == "chosen"  # which makes no picture
        numbers = [each for each in stage["differences"] if each["kind"] == "numbers"]
        assert stage["largest"] == max(each["largest"] for each in numbers)
        assert stage["mean"] == max(each["mean"] for each in numbers)
    roles = {network["role"]: network for network in found["networks"]}
    assert list(roles) == ["base", "upsampler", "enlarger", "detailer", "clip_image"]
    enlarging = [stage for stage in found["stages"] if stage["role"] == "enlarger"]
    assert roles["enlarger"]["largest"] == max(stage["largest"] for stage in enlarging)
    judged = {each["what"] for each in found["stages"][-1]["differences"]}
    assert {"prompt", "picture at step 0", "gradient at step 500"} < judged
    passes = {each["what"] for each in found["stages"][0]["differences"]}
    assert {f"noise at step {t}" for t in (950, 500, 50)} < passes


def test_the_page_shows_every_figure_and_needs_no_other_file(verified: Project) -> None:
    page = (verified.folder / "results/verify/report.html").read_text()
    for stage in figures(verified)["stages"]:
        for each in stage["differences"]:
            cells = (
                f"{each['largest']:.3g}",
                f"{each['largest_allowed']:g}",
                f"{each['mean']:.3g}",
                f"{each['mean_allowed']:g}",
            )
            row = [f"<td>{each['what']}</td>"]
            row += [f'<td class="number">{cell}</td>' for cell in cells]
            assert "".join(row) in page.replace("\n", "")
    assert page.count('src="data:image/png;base64,') == 3 * len(NETWORK_STAGES)
    assert not re.search(r'(src|href)="(?!data:|#)', page)


def test_then_only_the_verdict_is_said_again(verified: Project) -> None:
    done = verified.snakemake("verify", variables=VARIABLES)
    assert "The engines agree." in done.stdout + done.stderr
    assert "rule verify_" not in done.stdout + done.stderr


def test_another_device_or_page_is_made_again(verified: Project) -> None:
    done = verified.snakemake("verify", "--dry-run", "--config", "device=cpu", variables=VARIABLES)
    assert len(re.findall("rule verify_(native|upstream)_", done.stdout)) == 2 * len(STAGES)
    page = verified.folder / "workflow/report/verify.html"
    kept = page.read_text()
    page.write_text(kept.replace("<h1>", "<h1>A "))
    done = verified.snakemake("verify", "--dry-run", variables=VARIABLES)
    page.write_text(kept)
    assert "rule verify_report:" in done.stdout
    assert not re.search("rule verify_(native|upstream)_", done.stdout)
    (verified.folder / "results/verify/report.html").unlink()
    assert "The engines agree." in verified.snakemake("verify", variables=VARIABLES).stdout
    assert (verified.folder / "results/verify/report.html").exists()


def test_a_run_paints_nothing_for_the_proof_nor_the_reverse(verified: Project) -> None:
    assert not (verified.folder / "results/lake").exists()
    done = verified.snakemake("--dry-run")
    assert "rule thumbnails:" in done.stdout
    assert "rule verify" not in done.stdout


@pytest.mark.parametrize(
    ("package", "stage"),
    [
        ("glide-text2im", "upsampled"),
        ("basicsr", "enlarged-1024"),
        ("taming-transformers", "detailed"),
    ],
)
def test_a_network_that_differs_is_an_error_and_the_report_stays(
    verified: Project, package: str, stage: str
) -> None:
    results = verified.folder / "results/verify"
    wrong = results / f"upstream/{stage}.safetensors"
    kept = wrong.read_bytes()
    for path in (wrong, results / "report.json", results / "report.html"):
        path.unlink()
    done = verified.snakemake(
        "verify", variables={**VARIABLES, "STAND_IN_FAULT": package}, check=False
    )
    assert done.returncode == 1
    assert "the engines do not agree" in done.stdout + done.stderr
    found = figures(verified)
    assert found["agrees"] is False
    assert [each["stage"] for each in found["stages"] if not each["agrees"]] == [stage]
    page = (results / "report.html").read_text()
    assert '<span class="differs">differs</span>' in page
    wrong.write_bytes(kept)


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("name", STAGES[:4])
def test_a_network_that_gives_no_numbers_does_not_agree(
    verified: Project, name: str, tmp_path: Path
) -> None:
    results, models = (verified.folder / part for part in ("results/verify", "models/embedded"))
    stage = NETWORK_STAGES[name]
    made = results / f"native/{name}.safetensors"
    weights = safetensors.torch.load_file(models / f"{stage.role}.safetensors")
    broken = {key: torch.full_like(tensor, torch.nan) for key, tensor in weights.items()}
    model = tmp_path / f"{stage.role}.safetensors"
    safetensors.torch.save_file(broken, model, load_metadata(models / model.name))
    out = tmp_path / made.name
    source = ["--source", results / f"native/{stage.before}.safetensors"] if stage.before else []
    status = run_command(
        *("verify_stage", "--stage", name, "--engine", "native", "--model", model, "--out", out),
        *("--device", "cpu", "--precision", "fp32", "--vocabulary", models / "encoder.json"),
        *("--merges", models / "vocab.bpe", *source),
    )
    assert status == 0
    theirs = compare.read(results / f"upstream/{name}.safetensors")
    sound, found = compare.read(made), compare.read(out)
    pair = Run(sound.facts, theirs.inputs, found.results), theirs
    errors = compare.verdict(compare.report([pair]))
    assert "largest difference not a number" in " ".join(errors)


@pytest.mark.parametrize(
    ("engine", "stage", "source", "wanted"),
    [
        ("native", "upsampled", None, "the native engine's file of the stage thumbnails"),
        ("native", "upsampled", "native/upsampled", "the native engine's file of the stage thumb"),
        ("native", "upsampled", "upstream/thumbnails", "the native engine's file of the stage thu"),
        ("native", "thumbnails", "native/thumbnails", "left out"),
        ("upstream", "detailed", None, "the native engine's file of the stage detailed"),
        ("upstream", "detailed", "native/upsampled", "the native engine's file of the stage detai"),
        ("upstream", "detailed", "upstream/detailed", "the native engine's file of the stage deta"),
    ],
)
def test_a_stage_begins_only_with_what_it_should(
    verified: Project, engine: str, stage: str, source: str | None, wanted: str
) -> None:
    arguments = argparse.Namespace(engine=engine, stage=stage, source=None)
    if source:
        arguments.source = verified.folder / f"results/verify/{source}.safetensors"
    with pytest.raises(UserError, match=f"--source is to be {wanted}"):
        verify_stage.run(arguments)


@pytest.mark.parametrize(
    ("arguments", "packages"),
    [
        (["candidates", "--config", "engine=upstream"], "glide"),
        (["results/verify/upstream/detailed.safetensors"], "taming"),
        (["verify"], "glide basicsr taming"),
    ],
)
def test_a_missing_package_is_named_before_anything_is_removed(
    arguments: list[str], packages: str, tiny: Project
) -> None:
    kept = tiny.folder / "results/lake/1-thumbnails/1.png"
    before = kept.read_bytes()
    done = tiny.snakemake(*arguments, check=False)
    told = done.stdout + done.stderr
    assert done.returncode == 1
    assert told.count("error: ") == 1
    named = re.findall(r"the upstream engine needs .*envs/upstream-(\w+)\.yaml", told)
    assert sorted(named) == sorted(packages.split())
    assert "which is not installed here. `snakemake --sdm conda` makes" in told
    assert "rule thumbnails:" not in told
    assert "Traceback" not in told
    assert kept.read_bytes() == before


def test_a_command_without_its_package_says_how_to_get_it(tmp_path: Path) -> None:
    done = enlarged_by_basicsr(tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "error: the upstream engine needs basicsr, which is not installed here" in done.stderr
    assert "envs/upstream-basicsr.yaml" in done.stderr


def enlarged_by_basicsr(folder: Path) -> subprocess.CompletedProcess[str]:
    """Enlarge a picture in this folder, which may have a package."""
    picture = folder / "small.png"
    Image.new("RGB", (16, 16)).save(picture)
    command = [sys.executable, ROOT / "workflow/scripts/enlarge.py", "--engine", "upstream"]
    command += ["--model", ROOT / "models/embedded/enlarger.safetensors", "--image", picture]
    command += ["--stage", "enlarged-1024", "--out", folder / "large.png", "--device", "cpu"]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(folder)}
    return subprocess.run(
        list(map(str, command)), env=environment, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("import nonesuch", "cannot be imported here (ModuleNotFoundError: No module named 'none"),
        ("raise OSError('libGL.so.1')", "cannot be imported here (OSError: libGL.so.1)"),
        ("", "differs (AttributeError"),
        ("def RRDBNet(size): pass", "differs (TypeError"),
        ("from torch import nn\ndef RRDBNet(**_): return nn.Linear(2, 2)", "has other parameters"),
    ],
)
def test_a_package_that_is_of_no_use_is_blamed_for_it(
    content: str, told: str, tmp_path: Path
) -> None:
    """Not the user's models."""
    module = tmp_path / "basicsr/archs"
    module.mkdir(parents=True)
    (module / "rrdbnet_arch.py").write_text(content)
    done = enlarged_by_basicsr(tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "the upstream engine needs basicsr, which " + told in done.stderr
    assert "envs/upstream-basicsr.yaml" in done.stderr


def test_the_upstream_engine_paints_the_same_pictures(tiny: Project, tmp_path: Path) -> None:
    """From the same files, with the same noise; another engine repeats what a network makes."""
    project = Project(tmp_path / "project", tiny.folder)
    before = project.pictures()
    jobs = project.jobs("--config", "engine=upstream", variables=VARIABLES)
    assert {"thumbnails lake", "upsampled lake", "enlarged_1024 lake", "detailed lake"} < jobs
    project.snakemake("all", "--config", "engine=upstream", variables=VARIABLES)
    after = project.pictures()
    assert after.keys() == before.keys()
    results = project.folder / "results"
    (tmp_path / "before.png").write_bytes(before["lake/final.png"])
    native, upstream = tmp_path / "before.png", results / "lake/final.png"
    difference = images.read_rgb(native).astype(int) - images.read_rgb(upstream)
    assert np.abs(difference).max() <= 1
    engines = {
        stage["stage"]: stage["engine"]
        for stage in picture_file.read_recipe(upstream)["stages"]
        if "engine" in stage
    }
    assert engines == {
        "thumbnails": "glide-text2im",
        "upsampled": "glide-text2im",
        "enlarged-1024": "basicsr",
        "detailed": "taming-transformers",
        "enlarged-4096": "basicsr",
    }
    native_stages = picture_file.read_recipe(native)["stages"]
    assert {stage["engine"] for stage in native_stages if "engine" in stage} == {"native"}


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        (None, "some-package 1.0"),
        ({"url": "https://x.org/a.zip"}, "some-package 1.0 (https://x.org/a.zip)"),
        (
            {"url": "https://x.org/a.git", "vcs_info": {"commit_id": "69b5307"}},
            "some-package 1.0 (https://x.org/a.git@69b5307)",
        ),
        ({"url": "file:///home/a/checkout", "dir_info": {}}, "some-package 1.0"),
    ],
)
def test_the_recipe_says_which_commit_of_a_package(
    origin: dict | None, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As pip writes it down, and without a path of the machine."""
    metadata = tmp_path / "some_package-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: some-package\nVersion: 1.0\n")
    if origin:
        (metadata / "direct_url.json").write_text(json.dumps(origin))
    monkeypatch.syspath_prepend(tmp_path)
    assert Package("some-package", "some_package", "x.yaml").described == expected


# ---- comparing -----------------------------------------------------------------------------------


FACTS = {
    "stage": "s",
    "role": "r",
    "models": {"m": "0"},
    "precision": "fp32",
    "device": "cpu (x86_64, 2 threads)",
    "device_type": "cpu",
    "seconds": 1,
    "peak_bytes": 1,
    "versions": {},
}


def native(**results: np.ndarray) -> Run:
    return Run(FACTS | {"engine": "native"}, {"x": np.ones(3)}, results)


def upstream(**results: np.ndarray) -> Run:
    return Run(FACTS | {"engine": "a-package 1.0"}, {"x": np.ones(3)}, results)


def test_numbers_count_in_spreads_of_the_original() -> None:
    theirs = np.array([0.0, 10.0], np.float32)
    [found] = compare.compare(native(y=theirs + np.float32([0, 1])), upstream(y=theirs))
    assert found.largest == pytest.approx(1 / 5)
    assert found.mean == pytest.approx(0.1)
    assert not found.agrees


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_a_number_does_not_agree(bad: float) -> None:
    theirs = np.ones(4, np.float32)
    ours = np.array([1, 1, 1, bad], np.float32)
    for one, other in ((ours, theirs), (theirs, ours), (ours, ours)):
        [found] = compare.compare(native(y=one), upstream(y=other))
        assert not found.agrees


@pytest.mark.filterwarnings("ignore:invalid value")
def test_what_is_not_a_number_is_said_so_in_plain_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = {"y": np.array([1, np.nan], np.float32), "picture": np.zeros((1, 1, 3), np.uint8)}
    theirs = ours | {"y": np.array([1, 2], np.float32)}
    found = compare.report([(native(**ours), upstream(**theirs))])
    assert found["stages"][0]["differences"][0]["largest"] is None
    [fault] = compare.verdict(found)
    assert "y: largest difference not a number" in fault
    figures = tmp_path / "report.json"
    figures.write_text(json.dumps(found, allow_nan=False))
    with pytest.raises(UserError, match="do not agree"):
        verify_verdict.run(argparse.Namespace(figures=figures))
    assert "s: DIFFERS; network not a number of the spread" in capsys.readouterr().out


@pytest.mark.parametrize(
    "wrong", ["{}", "[]", '{"stages": []}', '{"stages": [1]}', '{"stages": [{}]}', "no"]
)
def test_other_figures_are_refused(wrong: str, tmp_path: Path) -> None:
    figures = tmp_path / "report.json"
    figures.write_text(wrong)
    with pytest.raises(UserError, match=r"not of verify_report\.py|damaged"):
        verify_verdict.run(argparse.Namespace(figures=figures))


def test_the_difference_is_shown_to_its_last_row_and_column() -> None:
    native = np.zeros((701, 330, 3), np.uint8)
    other = native.copy()
    other[-1, -1] = 9
    [*_, difference] = verify_report._pictures(native, other)
    data = base64.b64decode(difference["data"].removeprefix("data:image/png;base64,"))
    assert np.asarray(Image.open(io.BytesIO(data))).max() > 0


def test_codes_count_as_the_share_that_differ() -> None:
    theirs = np.zeros(1000, np.int64)
    ours = theirs.copy()
    ours[:2] = 7
    assert compare.compare(native(codes=ours), upstream(codes=theirs))[0].agrees
    ours[:3] = 7
    assert not compare.compare(native(codes=ours), upstream(codes=theirs))[0].agrees


def test_one_wrong_patch_of_a_picture_does_not_agree() -> None:
    theirs = np.full((1000, 1000, 3), 100, np.uint8)
    ours = theirs.copy()
    ours[:3, :3] = 120
    [found] = compare.compare(native(picture=ours), upstream(picture=theirs))
    assert found.largest == 20
    assert not found.agrees


def test_what_cannot_be_compared_is_refused() -> None:
    ours, theirs = native(y=np.zeros(2, np.float32)), upstream(y=np.zeros(2, np.float32))
    for fact, other in (
        ("models", {"m": "1"}),
        ("device_type", "cuda"),
        ("precision", "bf16"),
    ):
        with pytest.raises(UserError, match=fact):
            compare.compare(ours, replace(theirs, facts=theirs.facts | {fact: other}))
    for inputs in ({}, {"x": np.zeros(3)}, {"z": np.ones(3)}):
        with pytest.raises(UserError, match="different inputs"):
            compare.compare(ours, replace(theirs, inputs=inputs))
    with pytest.raises(UserError, match="shapes"):
        compare.compare(ours, upstream(y=np.zeros(3, np.float32)))
    for pair in ((ours, ours), (theirs, theirs), (theirs, ours)):
        with pytest.raises(UserError, match="one file is to be of the native engine"):
            compare.compare(*pair)
