"""Schedules and samplers agree with the recorded traces of the original code.

The traces use a closed-form network, so that every step of a sampler is compared and not only
its end (see data/parity/README.md).
"""

import json
import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from bigart.networks.native.glide.model import Text, Text2ImUNet
from bigart.networks.options import GlideOptions
from bigart.networks.tokenizer import Tokenizer
from bigart.sampling.samplers import SAMPLERS, Denoiser, State, conditioned, guided
from bigart.sampling.schedule import Schedule
from parity import PARITY, fill, glide_options, normal

TOLERANCE = 1e-3


@pytest.mark.parametrize("name", json.loads((PARITY / "schedules.json").read_text()))
def test_schedule(name: str) -> None:
    recorded = json.loads((PARITY / "schedules.json").read_text())[name]
    schedule = Schedule.create(*name.split(":"))
    assert schedule.timesteps == recorded["timestep_map"]
    np.testing.assert_allclose(schedule.alphas_cumprod, recorded["alphas_cumprod"], rtol=1e-9)
    log_variance = recorded["posterior_log_variance_clipped"]
    np.testing.assert_allclose(schedule.posterior_log_variance_clipped, log_variance, rtol=1e-9)


def analytic(betas: str) -> Denoiser:
    """The perfect network for pictures that are noise of standard deviation 0.5."""
    alphas = Schedule.create(betas).alphas_cumprod

    def denoise(x: Tensor, timestep: int) -> tuple[Tensor, Tensor]:
        a = float(alphas[timestep])
        return math.sqrt(1 - a) * x / (0.25 * a + 1 - a), torch.full_like(x, 0.3)

    return denoise


def draws(name: str) -> Callable[[int], Tensor]:
    return lambda k: torch.from_numpy(normal(f"{name}/{k}", (2, 3, 16, 16)))


@pytest.mark.parametrize("name", np.load(PARITY / "sampler_analytic.npz"))
def test_sampler_trace(name: str, vectors: dict[str, dict]) -> None:
    vector = vectors["sampler/analytic"][name]
    schedule = Schedule.create(vector["betas"], vector["respacing"])
    sampler = SAMPLERS["ancestral" if vector["loop"] == "p_sample" else "ddim"]
    noise = draws(name)
    trace = list(sampler(analytic(vector["betas"]), schedule, State(0, noise(0)), noise))
    assert len(trace) == vector["steps"]
    kept = torch.stack([trace[step].x for step in vector["kept_steps"]])
    recorded = np.load(PARITY / "sampler_analytic.npz")[name]
    assert np.abs(kept.numpy() - recorded).max() < TOLERANCE


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_sampling_resumes_from_any_step(sampler: str) -> None:
    schedule, noise = Schedule.create("linear", 20), draws("resume")
    denoiser = analytic("linear")
    whole = list(SAMPLERS[sampler](denoiser, schedule, State(0, noise(0)), noise))
    assert [state.step for state in whole] == list(range(1, 21))
    for state in (whole[0], whole[11], whole[18]):
        rest = list(SAMPLERS[sampler](denoiser, schedule, state, noise))
        assert len(rest) == 20 - state.step
        assert torch.equal(rest[-1].x, whole[-1].x)


def test_dpm_solver_is_of_second_order() -> None:
    """Halving the steps' length divides its error by four, DDIM's by two."""
    denoiser, noise = analytic("squaredcos_cap_v2"), draws("dpm")

    def end(sampler: str, steps: int) -> Tensor:
        schedule = Schedule.create("squaredcos_cap_v2", steps)
        return list(SAMPLERS[sampler](denoiser, schedule, State(0, noise(0)), noise))[-1].x

    exact = end("dpm++", 1000)

    def error(sampler: str, steps: int) -> float:
        return float((end(sampler, steps) - exact).square().mean().sqrt())

    errors = [error("dpm++", steps) for steps in (20, 40, 80, 160)]
    for coarse, fine in pairwise(errors):
        assert 3.3 < coarse / fine < 4.7
    assert error("dpm++", 80) < 0.4 * error("ddim", 80)


def test_the_stochastic_solver_ends_where_the_ancestral_sampler_does() -> None:
    """In distribution: the perfect network's pictures have one spread, however they are drawn."""
    denoiser = analytic("squaredcos_cap_v2")

    def spread(sampler: str, steps: int) -> float:
        drawn = []

        def noise(draw: int) -> Tensor:
            drawn.append(draw)
            generator = torch.Generator().manual_seed(draw)
            return torch.randn(4, 3, 64, 64, generator=generator)

        schedule = Schedule.create("squaredcos_cap_v2", steps)
        *_, end = SAMPLERS[sampler](denoiser, schedule, State(0, noise(0)), noise)
        assert drawn == list(range(steps))  # each once, and none in the last step
        return float(end.x.std())

    exact = spread("ancestral", 1000)
    errors = [abs(spread("dpm++sde", steps) / exact - 1) for steps in (20, 40, 80, 160)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.02


@pytest.mark.parametrize(
    ("interval", "led_away"), [((0, 1), 5), ((0, 0), 1), ((0.25, 0.75), 3), ((0.9, 1), 1)]
)
def test_outside_the_guidance_interval_only_the_prompt_is_read(
    interval: tuple[float, float], led_away: int
) -> None:
    """Timesteps 999, 749, 500, 250 and 0 are at 0, 0.25, 0.5, 0.75 and 1 of the way."""

    class Away(str):
        def beside(self, other: str) -> str:
            return f"{self}, not {other}"

    class Reader:
        def denoise(
            self, x: Tensor, timesteps: Tensor, text: str, low_res: Tensor | None = None
        ) -> Tensor:
            read.append((text, len(x)))
            return torch.cat([x, x], dim=1)

    read: list[tuple[str, int]] = []
    denoiser = guided(Reader(), Away("boat"), Away("dark"), 3.0, interval)
    for timestep in (999, 749, 500, 250, 0):
        eps, variance = denoiser(torch.ones(2, 3, 4, 4), timestep)
        assert eps.shape == variance.shape == (2, 3, 4, 4)
    assert read.count(("boat, not dark", 4)) == led_away
    assert read.count(("boat", 2)) == 5 - led_away


@pytest.mark.parametrize("prompts", [1, 2])
def test_the_guided_upsampler_is_two_passes(prompts: int) -> None:
    """Each by itself; also with some pictures of a batch, and resumed after a step.

    Some processors round by batch, by up to 3e-4 after the four steps.
    """
    options = GlideOptions(
        **{"image_size": 32, "super_res": True, "noise_schedule": "linear", "text_ctx": 8},
        **{"channels": 8, "channel_mult": (1, 2), "res_blocks": 1, "groups": 4, "vocab": 50},
        **{"head_channels": 8, "attention_resolutions": (16,)},
        **{"text_width": 16, "text_layers": 1, "text_heads": 2},
    )
    network = fill(Text2ImUNet(options))
    mask = torch.ones(prompts, 8, dtype=torch.bool)
    boat, dark = (
        network.encode_text(torch.arange(8 * prompts).reshape(prompts, 8) + first, mask)
        for first in (0, 20)
    )
    low_res = torch.from_numpy(normal("guided/low_res", (2, 3, 8, 8))).clamp(-1, 1)
    first = torch.from_numpy(normal("guided/noise", (2, 3, 32, 32)))
    towards, away = (conditioned(network, text, low_res) for text in (boat, dark))

    def plain(x: Tensor, timestep: int) -> tuple[Tensor, Tensor]:
        (pulled, variance), (other, _) = towards(x, timestep), away(x, timestep)
        return other + 2.5 * (pulled - other), variance

    def sample(denoiser: Denoiser, state: State) -> list[State]:
        schedule = Schedule.create("linear", 4)
        return list(SAMPLERS["ddim"](denoiser, schedule, state, lambda draw: first))

    denoiser = guided(network, boat, dark, 2.5, low_res=low_res)
    guided_states, unguided = sample(denoiser, State(0, first)), sample(towards, State(0, first))
    end = guided_states[-1].x
    torch.testing.assert_close(end, sample(plain, State(0, first))[-1].x, rtol=0, atol=5e-4)
    assert float((end - unguided[-1].x).abs().max()) > 0.01
    assert torch.equal(sample(denoiser, guided_states[1])[-1].x, end)
    off = guided(network, boat, dark, 1.0, low_res=low_res)
    assert torch.equal(sample(off, State(0, first))[-1].x, unguided[-1].x)
    if prompts == 1:
        alone = guided(network, boat, dark, 2.5, low_res=low_res[1:])
        found = sample(alone, State(0, first[1:]))[-1].x
        torch.testing.assert_close(found, end[1:], rtol=0, atol=5e-4)


def test_two_stages_with_guidance(vectors: dict[str, dict], tokenizer: Tokenizer) -> None:
    """Base, rounding to 8 bits, upsampler: the whole of GLIDE on one prompt."""
    vector = vectors["sampling/two_stage_small"]
    candidates = vector["candidates"]

    def stacked(name: str, side: int) -> Tensor:
        return torch.from_numpy(
            np.stack([normal(name.format(i), (3, side, side)) for i in range(candidates)])
        )

    def text(network: Text2ImUNet, prompt: str) -> Text:
        return network.encode_text(*tokenizer.context(prompt, 128))

    base = fill(Text2ImUNet(glide_options(vectors["glide/base_small"]["options"])))

    def noise(draw: int) -> Tensor:
        return stacked(f"sampling/two_stage_small/base/{{}}/{draw}", 64)

    schedule = Schedule.create("squaredcos_cap_v2", vector["steps"])
    prompt, nothing = text(base, vector["prompt"]), text(base, "")
    denoiser = guided(base, prompt, nothing, vector["guidance"])
    *_, small = SAMPLERS["ancestral"](denoiser, schedule, State(0, noise(0)), noise)
    recorded = np.load(PARITY / "sampling_two_stage_small.npz")
    assert np.abs(small.x.numpy() - recorded["samples64"]).max() < TOLERANCE

    # from the recorded picture: a value within rounding of two steps may fall to either side
    low_res = ((torch.from_numpy(recorded["samples64"]) + 1) * 127.5).round() / 127.5 - 1
    upsampler = fill(Text2ImUNet(glide_options(vectors["glide/upsample_small"]["options"])))
    start = stacked("sampling/two_stage_small/up/{}", 256) * vector["upsample_temp"]
    schedule = Schedule.create("linear", vector["upsample"])
    denoiser = conditioned(upsampler, text(upsampler, vector["prompt"]), low_res)
    *_, large = SAMPLERS["ddim"](denoiser, schedule, State(0, start), noise)
    # random weights enlarge a rounding error many times: single pixels may be off by a part of a
    # step of 8 bits (1/127.5), the rest may not
    apart = np.abs(large.x[..., ::2, ::2].numpy() - recorded["samples256"])
    assert apart.max() < 1 / 255
    assert np.percentile(apart, 99.99) < TOLERANCE
    assert apart.mean() < TOLERANCE / 100
