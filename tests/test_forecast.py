"""How long the artworks will take: said before the first job, within a factor of 1.5."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from bigart.config import forecast
from bigart.config.forecast import Machine
from bigart.config.options import Artwork, Config
from bigart.sampling.repaint import TIMES, TIMES_ABOVE
from bigart.stages import ALL, STAGES, Stage

CPU = {"device": "cpu", "precision": "fp32", "candidates": 7, "steps": 60, "upsample_steps": "4"}
MACHINE = Machine(cores=2, networks=1, threads=2)
#: Seconds that a stage really takes: start, and network for each unit of work.
TRUTH = {stage.name: (2.0, 0.01 if "{candidate}" in stage.file else 5.0) for stage in ALL}


def artwork(name: str, **options) -> Artwork:
    return Artwork(
        artwork=name, prompt="a lake", **{**{"steps": 60, "upsample_steps": "4"}, **options}
    )


def truth(stage, row: Artwork, candidates: int = 7) -> tuple[float, float]:
    start, each = TRUTH[stage.name]
    steps = {"thumbnails": row.steps * (1 if row.guidance == 1 else 2)}
    steps["upsampled"] = 27 if row.upsample_steps == "fast27" else int(row.upsample_steps)
    units = candidates * steps[stage.name] if stage.name in steps else 1
    return start, each * units * bool(stage.role)


def paint(
    folder: Path,
    row: Artwork,
    precision: str = "fp32",
    device: str = "cpu (x86_64, 2 threads)",
    engine: str = "native",
):
    """Leave the logs of a painted artwork."""
    logs = folder / row.artwork / "log"
    logs.mkdir(parents=True)
    for stage in ALL:
        start, network = truth(stage, row)
        name = stage.log.format(format="png")
        (logs / f"{name}.benchmark.tsv").write_text(f"s\th:m:s\n{start + network:.2f}\t0:00:01\n")
        steps = {"thumbnails": row.steps, "upsampled": row.upsample_steps}.get(stage.name)
        (logs / f"{name}.log").write_text(
            f"model weights/{stage.role}.safetensors on {device} in {precision}, engine {engine}\n"
            + (f"{stage.name}: candidates: 7, 7 at a time, {steps} steps (ddim)\n" if steps else "")
            + f"the network took {network:.1f} s, after 0.0 s of waiting for the GPU lock\n"
        )


def said(
    folder: Path,
    rows: list[Artwork],
    to_paint: list[Artwork],
    machine=MACHINE,
    stages: Sequence[Stage] = ALL,
    roles: Sequence[str] = (),
    **config,
):
    models = {
        role: SimpleNamespace(
            name=f"embedded-{role}",
            architecture="",
            final_path=lambda role=role: f"elsewhere/{role}.safetensors",
        )
        for role in filter(None, {*roles, *(stage.role for stage in [*ALL, *stages])})
    }
    table = {row.artwork: row for row in rows}
    outputs = {
        f"{folder}/{row.artwork}/{stage.file.format(candidate=k, format=row.format)}"
        for row in to_paint
        for stage in stages
        for k in (1, 2)
    }
    options = Config(results=str(folder), **{**CPU, **config})
    return forecast.forecast(options, table, models, outputs, machine)


def seconds(words: str) -> float:
    units = {"h": 3600, "min": 60, "s": 1}
    head = words.partition(" for ")[0]
    return sum(int(n) * units[unit] for n, unit in re.findall(r"(\d+) (h|min|s)\b", head))


@pytest.mark.parametrize(
    "options",
    [{}, {"steps": 400}, {"steps": 15, "guidance": 1}, {"upsample_steps": "fast27"}, {"steps": 2}],
)
def test_other_steps_than_those_of_earlier_artworks_are_scaled(tmp_path, options):
    painted, new = artwork("painted"), artwork("new", **options)
    paint(tmp_path, painted)
    words = said(tmp_path, [painted, new], [new])
    took = sum(sum(truth(stage, new)) for stage in ALL)
    assert took / 1.5 < seconds(words) < took * 1.5
    longest = max(ALL, key=lambda stage: sum(truth(stage, new)))
    assert f"longest stage: {longest.rule}, " in words
    assert "1 artwork, as earlier ones took" in words


def test_artworks_side_by_side_take_less_time(tmp_path):
    rows = [artwork(f"a{k}") for k in range(9)]
    paint(tmp_path, rows[0])
    alone = seconds(said(tmp_path, rows, rows[1:2]))
    one = seconds(said(tmp_path, rows, rows[1:]))
    four = seconds(said(tmp_path, rows, rows[1:], Machine(cores=8, networks=4, threads=2)))
    assert one == pytest.approx(8 * alone, rel=0.4)
    assert four == pytest.approx(one / 4, rel=0.1)
    plenty = seconds(said(tmp_path, rows, rows[1:], Machine(cores=99, networks=99, threads=2)))
    assert plenty == alone  # an artwork's stages wait for each other


def test_records_of_other_settings_do_not_count(tmp_path):
    rows = [artwork("one"), artwork("other"), artwork("new")]
    paint(tmp_path, rows[0], precision="bf16")
    paint(tmp_path, rows[1], device="cuda:0 (NVIDIA H100)")
    stated = "another machine's figures"
    assert stated in said(tmp_path, rows, rows[2:], precision="fp32")
    assert stated not in said(tmp_path, rows, rows[2:], precision="bf16")
    assert "as earlier ones took" in said(tmp_path, rows, rows[2:], device="cuda")
    assert stated in said(tmp_path, rows, rows[2:], engine="upstream")


def test_bf16_is_faster_with_amx_than_without(tmp_path, monkeypatch):
    monkeypatch.setattr(forecast, "_gflops", lambda: 100)
    new, took = artwork("new"), []
    for amx, amd, precision in (
        *((True, False, "bf16"), (False, True, "bf16")),
        *((False, False, "bf16"), (False, True, "fp32")),
    ):
        monkeypatch.setattr(forecast.environment, "has_amx", lambda amx=amx: amx)
        monkeypatch.setattr(forecast.environment, "has_amd_bf16", lambda amd=amd: amd)
        took.append(seconds(said(tmp_path, [new], [new], precision=precision)))
    assert took[0] < took[1] < took[2] == took[3]


@pytest.mark.parametrize(("auto", "other"), [("bf16", "fp32"), ("fp32", "bf16")])
def test_auto_counts_records_of_the_precision_that_it_means_here(
    tmp_path, monkeypatch, auto, other
):
    monkeypatch.setattr(forecast.environment, "best_precision", {"cpu": auto}.get)
    rows = [artwork("one"), artwork("other"), artwork("new")]
    paint(tmp_path, rows[0], precision=other)
    assert "another machine's figures" in said(tmp_path, rows, rows[2:], precision="auto")
    paint(tmp_path, rows[1], precision=auto)
    assert "as earlier ones took" in said(tmp_path, rows, rows[2:], precision="auto")


@pytest.mark.parametrize(("recorded", "counts"), [("fp32", True), ("bf16", False)])
@pytest.mark.parametrize("gpu", [False, True])
def test_auto_is_fp32_with_the_other_engine(tmp_path, monkeypatch, gpu, recorded, counts):
    monkeypatch.setattr(forecast.environment, "best_precision", {"cpu": "bf16"}.get)
    monkeypatch.setattr(forecast.environment, "expects_gpu", lambda device: gpu)
    rows = [artwork("one"), artwork("new")]
    where = "cuda:0 (NVIDIA H100)" if gpu else "cpu (x86_64, 2 threads)"
    paint(tmp_path, rows[0], precision=recorded, device=where, engine="glide-text2im 69b5307")
    words = said(tmp_path, rows, rows[1:], device="auto", precision="auto", engine="upstream")
    assert ("as earlier ones took" in words) == counts


@pytest.mark.parametrize(("upsample_guidance", "units"), [(1, 4), (2.5, 8)])
def test_a_guided_upsampler_takes_twice_the_time(upsample_guidance, units):
    row = artwork("one", upsample_guidance=upsample_guidance)
    assert forecast._work(STAGES["upsampled"], row, 1, None) == units


@pytest.mark.parametrize(("name", "times"), [("thumbnails", TIMES), ("upsampled", TIMES_ABOVE)])
def test_a_repaint_takes_its_steps_several_times(name, times):
    row = artwork("one", repaint="lake", mask="mask.png")
    usual, repaint = (
        forecast._work(STAGES[stage], row, 7, None) for stage in (name, f"{name}-repaint")
    )
    assert repaint == usual
    assert forecast._TAKEN[f"{name}-repaint"] == times


def test_only_a_set_without_networks_for_inpainting_takes_them_several_times(tmp_path, monkeypatch):
    monkeypatch.setattr(forecast, "_gflops", lambda: forecast._STATED_GFLOPS)
    lake, anew = artwork("lake"), artwork("anew", repaint="lake", mask="mask.png", steps=1000)
    stages = [STAGES["thumbnails-repaint"]]
    several, once = (
        seconds(said(tmp_path, [lake, anew], [anew], stages=stages, roles=roles))
        for roles in ((), ("base_inpaint",))
    )
    assert several == pytest.approx(TIMES * once, rel=0.1)


def test_a_judge_s_records_count_whatever_the_precision(tmp_path):
    painted, new = artwork("painted", choose="auto"), artwork("new", choose="auto")
    paint(tmp_path, painted, precision="bf16")
    logs = tmp_path / "painted/log/2-chosen"
    logs.with_suffix(".benchmark.tsv").write_text("s\th:m:s\n9.00\t0:00:09\n")
    logs.with_suffix(".log").write_text(
        "model weights/clip_image.safetensors on cpu (x86_64, 2 threads) in fp32, engine native\n"
        "the network took 1.0 s\n"
    )
    words = said(tmp_path, [painted, new], [new], precision="bf16", stages=[STAGES["chosen"]])
    assert "as earlier ones took" in words
    assert seconds(words) == 9


@pytest.mark.parametrize(("gpu", "precision"), [("cuda:0 (NVIDIA H100)", "fp16"), ("mps", "fp32")])
def test_auto_counts_records_of_every_precision_on_a_gpu(tmp_path, monkeypatch, gpu, precision):
    """Whose the GPU is, is not known without torch."""
    monkeypatch.setattr(forecast.environment, "expects_gpu", lambda device: True)
    rows = [artwork("one"), artwork("new")]
    paint(tmp_path, rows[0], precision=precision, device=gpu)
    auto = {"device": "auto", "precision": "auto"}
    assert "as earlier ones took" in said(tmp_path, rows, rows[1:], **auto)


def test_where_nothing_is_known_it_is_said_later(tmp_path):
    rows = [artwork("new")]
    assert "once one has been painted here" in said(tmp_path, rows, rows, device="cuda")
    elsewhere = replace(MACHINE, here=False)
    assert "once one has been painted here" in said(tmp_path, rows, rows, elsewhere)
    assert said(tmp_path, rows, []) is None


def test_damaged_records_are_passed_over(tmp_path):
    painted, new = artwork("painted"), artwork("new")
    paint(tmp_path, painted)
    for stage, text in [("thumbnails", ""), ("detailed", "s\nmany\n"), ("final", "x\n1\n")]:
        log = STAGES[stage].log.format(format="png")
        (tmp_path / f"painted/log/{log}.benchmark.tsv").write_text(text)
    assert "another machine's figures" in said(tmp_path, [painted, new], [new])
