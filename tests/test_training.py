"""What training starts from: the upsampler's Wiener filter, dead leaves, runs that go on."""

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import common
from bigart.networks.native.glide.model import Text2ImUNet
from bigart.networks.native.rrdbnet import RRDBNet
from bigart.networks.options import GlideOptions, RRDBNetOptions
from common import Pool, batches, command, parse, random_of, train
from dead_leaves import dead_leaves
from degrade import jag
from diffusion_loss import Process
from train_base import start_well
from wiener_start import gains, start_as_wiener_filter


@pytest.fixture
def upsampler() -> Text2ImUNet:
    torch.manual_seed(0)
    options = GlideOptions(
        image_size=64, channels=32, res_blocks=1, channel_mult=(1, 2), head_channels=32,
        attention_resolutions=(), text_ctx=8, text_width=32, text_layers=1, text_heads=2,
        vocab=16, super_res=True, noise_schedule="linear", groups=8,
    )  # fmt: skip
    network = Text2ImUNet(options)
    start_well(network)
    return network.eval()


def test_the_upsampler_starts_as_the_wiener_filter(upsampler: Text2ImUNet) -> None:
    process = Process("linear", "cpu")
    tokens, mask = torch.randint(0, 16, (4, 8)), torch.ones(4, 8, dtype=torch.bool)
    with torch.no_grad():
        upsampler.transformer_proj.weight.mul_(0.1)
        text = upsampler.encode_text(tokens, mask)
    start_as_wiener_filter(upsampler, process, text.proj, steps=1000)
    times = torch.tensor([20, 150, 400, 700])
    x0 = F.interpolate(torch.rand(4, 3, 8, 8) * 2 - 1, scale_factor=8, mode="bilinear")
    xt = process.noisy(x0, times, torch.randn_like(x0))
    low = F.avg_pool2d(x0, 4)
    with torch.inference_mode():
        out = upsampler.denoise(xt, times, text, low)[:, :3]
    a, c = gains(process, times)[:, :, None, None, None].unbind(1)
    wanted = a * xt - c * F.interpolate(low, scale_factor=4, mode="bilinear")
    errors = (out - wanted).square().mean((1, 2, 3)).sqrt()
    assert errors.max() < 0.12  # of 0.7 and more
    assert errors[-1] < 0.015  # where noise prevails, a small error is a wrong picture


def test_dead_leaves_are_the_same_again_and_full_of_edges() -> None:
    first, again, other = (dead_leaves(np.random.default_rng(seed), 96) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.5
    steps = np.abs(np.diff(first.astype(int), axis=1)).max(2)
    assert 0.02 < (steps > 40).mean() < 0.6


def test_jagged_edges_stay_where_they_are_and_flat_colour_stays_flat() -> None:
    picture = np.full((64, 64, 3), 40, np.uint8)
    np.testing.assert_array_equal(jag(picture, 4, np.random.default_rng(0)), picture[::4, ::4])
    picture[:, 32:] = 200
    low = jag(picture, 4, np.random.default_rng(0)).astype(int)
    assert (low[:, :4] == 40).all()
    assert (low[:, -4:] == 200).all()
    assert np.ptp(low[:, 6:10].sum(1)) > 0  # the rows differ about the edge


def parsed(monkeypatch: pytest.MonkeyPatch, *words: str) -> argparse.Namespace:
    monkeypatch.setattr("sys.argv", ["train", *words])
    return parse(command("base", minutes=1, rate=1e-3, batch=2))


def test_a_run_that_goes_on_sees_other_pictures(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(common, "RUNS", tmp_path)
    fresh = random_of(parsed(monkeypatch), 1).random()
    (tmp_path / "base").mkdir()
    torch.save({"step": 7}, tmp_path / "base" / "checkpoint.pt")
    later = parsed(monkeypatch)
    assert later.done == 7
    assert random_of(later, 1).random() != fresh


def test_a_checkpoint_keeps_what_is_trained_beside_the_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(common, "RUNS", tmp_path)
    monkeypatch.setattr(common, "FIGURES", tmp_path)
    out = ("--out", str(tmp_path / "base.safetensors"))

    def run(minutes: str, value: float) -> float:
        network = RRDBNet(RRDBNetOptions(features=8, blocks=1, growth=4))
        beside = nn.Linear(1, 1)
        nn.init.constant_(beside.weight, value)

        def step(number: int, progress: float) -> tuple[Tensor, dict[str, float]]:
            return network(torch.zeros(1, 3, 4, 4)).square().mean(), {}

        arguments = parsed(monkeypatch, "--minutes", minutes, *out)
        train(arguments, network, "rrdbnet", step, lambda network: {}, beside={"critic": beside})
        return float(beside.weight.detach())

    assert run("0.0001", 3.0) == 3.0
    assert run("0.0002", 5.0) == 3.0


def test_weights_to_start_from_do_not_go_with_a_run_to_go_on_with(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(common, "RUNS", tmp_path)
    (tmp_path / "base").mkdir()
    torch.save({"step": 7}, tmp_path / "base" / "checkpoint.pt")
    with pytest.raises(SystemExit):
        parsed(monkeypatch, "--start", "weights.safetensors")
    assert "leave --start out" in capsys.readouterr().err


def test_a_trial_leaves_the_shipped_weights_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(common, "RUNS", tmp_path)
    trial = parsed(monkeypatch, "--run", "trial")
    assert {trial.out.parent, trial.figures.parent} == {tmp_path / "trial"}
    assert parsed(monkeypatch).out.parent == Path("models/embedded")


def _grey(index: int, size: int) -> np.ndarray:
    return np.full((size, size, 3), 10 + index, np.uint8)


def _nothing(index: int, size: int) -> np.ndarray:
    raise ValueError(f"no picture {index} of {size}")


def test_a_pool_is_filled_in_the_background(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(common, "RUNS", tmp_path)
    pool = Pool(8, 3, first=3, make=_grey, kind="grey-")
    assert pool.pictures.mean((1, 2, 3)).tolist() == [10, 11, 12]
    assert Pool(8, 3, first=3, make=_nothing, kind="grey-").ready() == 3  # and not made again


def test_a_pool_that_cannot_be_filled_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(common, "RUNS", tmp_path)
    with pytest.raises(RuntimeError, match="no pictures for"):
        Pool(8, 3, first=1, make=_nothing)


def test_a_batch_that_cannot_be_prepared_ends_the_training() -> None:
    def make() -> int:
        raise ValueError("broken")

    with pytest.raises(RuntimeError, match="next batch"):
        next(batches(make))
