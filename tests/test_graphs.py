"""Replayed steps give what the network gives; the recorder here stands in for a GPU's."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from bigart.networks.native.glide.model import Text2ImUNet
from bigart.networks.options import GlideOptions
from bigart.sampling.graphs import Replayed, replayed
from bigart.sampling.samplers import SAMPLERS, Network, State, conditioned, guided
from bigart.sampling.schedule import Schedule
from parity import fill

TINY = {
    "channels": 16, "channel_mult": (1, 2), "res_blocks": 1, "groups": 8, "image_size": 16,
    "attention_resolutions": (8,), "head_channels": 8, "text_ctx": 8, "text_width": 16,
    "text_layers": 1, "text_heads": 2, "vocab": 50,
}  # fmt: skip


class Recorder:
    """Does again what was recorded, on the same memory and into the same memory, as a GPU does."""

    def __init__(self, fails: bool = False) -> None:
        self.fails, self.recorded, self.replayed = fails, 0, 0

    def __call__(self, run: Callable[[], Tensor]) -> tuple[Callable[[], object], Tensor]:
        self.recorded += 1
        if self.fails:
            raise RuntimeError("operation not permitted when stream is capturing")
        out = torch.full_like(run(), torch.nan)  # recording computes nothing

        def replay() -> None:
            self.replayed += 1
            out.copy_(run())

        return replay, out


def network(super_res: bool) -> Text2ImUNet:
    return fill(Text2ImUNet(GlideOptions(**TINY, super_res=super_res)))  # type: ignore[arg-type]


def sampled(
    wrapped: Network, real: Text2ImUNet, batch: int, interval: tuple[float, float]
) -> Tensor:
    """Return five steps for a batch, guided for a base network."""
    options = real.options
    tokens = torch.arange(8)[None]
    text, away = (real.encode_text(tokens + i, tokens < 5) for i in range(2))
    generator = torch.Generator().manual_seed(batch)

    def noise(draw: int) -> Tensor:
        return torch.randn(batch, 3, 16, 16, generator=generator)

    if options.super_res:
        denoiser = conditioned(wrapped, text, noise(0)[..., ::2, ::2])
    else:
        denoiser = guided(wrapped, text, away, 3.0, interval)
    schedule = Schedule.create("linear", 5)
    *_, end = SAMPLERS["ancestral"](denoiser, schedule, State(0, noise(0)), noise)
    return end.x


@torch.inference_mode()
@pytest.mark.parametrize(
    ("super_res", "interval", "recorded", "run_again"),
    [
        (False, (0.0, 1.0), 1, 4),
        (True, (0.0, 1.0), 1, 4),
        (False, (0.0, 0.5), 2, 3),  # three steps with guidance, two without
        (False, (0.4, 0.6), 2, 2),  # two, one and two: the one is not recorded
    ],
)
def test_replayed_steps_paint_the_same(
    super_res: bool, interval: tuple[float, float], recorded: int, run_again: int
) -> None:
    real, recorder = network(super_res), Recorder()
    wrapped = Replayed(real, recorder)
    for batch in (2, 2, 1):  # the last has another size
        before = recorder.recorded, recorder.replayed
        expected = sampled(real, real, batch, interval)
        assert torch.equal(sampled(wrapped, real, batch, interval), expected)
        assert recorder.recorded - before[0] == recorded
        assert recorder.replayed - before[1] == run_again


@torch.inference_mode()
def test_what_cannot_be_recorded_runs_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    real, recorder = network(False), Recorder(fails=True)
    wrapped = Replayed(real, recorder)
    for batch in (2, 1):
        whole = (0.0, 1.0)
        assert torch.equal(sampled(wrapped, real, batch, whole), sampled(real, real, batch, whole))
    assert recorder.recorded == 1  # asked once, not at each step
    assert "one kernel at a time: operation not permitted" in caplog.text


def test_only_a_gpu_replays() -> None:
    real = network(False)
    assert replayed(real, torch.device("cpu")) is real
    assert isinstance(replayed(real, torch.device("cuda")), Replayed)
