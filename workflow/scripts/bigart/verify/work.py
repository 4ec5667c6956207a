"""The proof that both engines make the same pictures: what is computed, and how it is compared.

For each stage that runs a network the native engine makes the inputs, from its own picture of the
stage before, and both engines compute from these very numbers:

- single passes of the network, compared as floating-point numbers;
- the stage's picture, with the sampler that needs the fewest steps, compared as the 8 bits that
  would be in its file.

Everything is in float32.
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bigart.commands import network_command, sampling_command
from bigart.commands.sampling_command import GlideNetwork
from bigart.networks.native.rrdbnet import RRDBNet
from bigart.networks.native.vqgan import VQGAN
from bigart.networks.reconstruction import as_input
from bigart.networks.upstream.rrdbnet import UpstreamRRDBNet
from bigart.networks.upstream.vqgan import UpstreamVQGAN
from bigart.pictures import images
from bigart.running.device import Device
from bigart.running.progress import Progress
from bigart.sampling import noise
from bigart.sampling.prompts import PromptReader
from bigart.sampling.samplers import SAMPLERS, Denoiser, State, conditioned, guided
from bigart.sampling.schedule import Schedule

PROMPT = "a painting of a sunset over a lake"
SEED = 42
GUIDANCE = 2.0
SAMPLER, STEPS = "dpm++sde", 15
UPSAMPLE_SAMPLER, UPSAMPLE_STEPS = "ddim", "fast27"
TIMESTEPS = (950, 500, 50)

#: The last stage is compared on the middle of its picture: the original takes 14 GB for the whole.
CROP = 512

Tensors = dict[str, Tensor]
"""Name -> what was computed: float32, int64 for codes, uint8 (height, width, 3) for a picture."""


@dataclass(frozen=True)
class Work:
    """What is computed in a stage.

    Attributes:
        open: The stage command's arguments -> what ``stage.open_network`` returns.
        inputs: (network, picture of the stage before or None) -> inputs for both engines.
        compute: (network, inputs, what reads prompts or None) -> results.
    """

    open: Callable[[argparse.Namespace], tuple[Any, Device, dict[str, Any]]]
    inputs: Callable[[Any, Tensor | None], Tensors]
    compute: Callable[[Any, Tensors, PromptReader | None], Tensors]


# ---- GLIDE ---------------------------------------------------------------------------------------


def _noise(label: str, draw: int, side: int) -> Tensor:
    return torch.from_numpy(noise.standard_normal(SEED, label, 1, draw, (3, side, side)))[None]


def _noised(network: GlideNetwork, picture: Tensor) -> Tensors:
    """Return a picture in [-1, 1] with the noise that it has at some steps of the process."""
    side = network.options.image_size
    process = Schedule.create(network.options.noise_schedule, "")
    picture = F.interpolate(picture, (side, side), mode="bilinear", align_corners=False)
    noised = {}
    for draw, t in enumerate(TIMESTEPS):
        kept = float(process.alphas_cumprod[t])
        noise = _noise("verify", draw, side)
        noised[f"x at {t}"] = picture * kept**0.5 + noise * (1 - kept) ** 0.5
    return noised


def base_inputs(network: GlideNetwork, before: Tensor | None) -> Tensors:
    """Return a soft picture at three strengths of noise."""
    return _noised(network, _noise("verify-picture", 0, 4).clamp(-1, 1))


def upsampler_inputs(network: GlideNetwork, before: Tensor | None) -> Tensors:
    """Return the thumbnail, and itself enlarged at three strengths of noise."""
    assert before is not None
    low_res = before * 2 - 1
    return {"low_res": low_res, **_noised(network, low_res)}


def passes(denoiser: Denoiser, inputs: Tensors) -> Tensors:
    """Return noise and variance at each strength of noise."""
    results = {}
    for t in TIMESTEPS:
        noise, variance = denoiser(inputs[f"x at {t}"], t)
        results[f"noise at step {t}"], results[f"variance at step {t}"] = noise, variance
    return results


def sampled(
    network: GlideNetwork,
    denoiser: Denoiser,
    sampler: str,
    steps: str | int,
    draw: Callable[[int], Tensor],
) -> Tensor:
    """Return a picture (1, 3, n, n) in about [0, 1], sampled as a stage does, without rounding."""
    process = Schedule.create(network.options.noise_schedule, steps)
    progress = Progress("sampling", len(process))
    x = draw(0)
    for state in SAMPLERS[sampler](denoiser, process, State(0, x), draw):
        x = state.x
        progress.advance()
    return (x + 1) / 2


def base(network: GlideNetwork, inputs: Tensors, reader: PromptReader | None) -> Tensors:
    """Run the base network: with guidance, as every step of a thumbnail does."""
    assert reader is not None
    denoiser = guided(network, reader.read(PROMPT), reader.read(""), GUIDANCE)
    device = inputs["x at 50"].device
    side = network.options.image_size
    thumbnail = sampled(
        network, denoiser, SAMPLER, STEPS, lambda draw: _noise("thumbnails", draw, side).to(device)
    )
    return {**passes(denoiser, inputs), "picture": _picture(thumbnail)}


def upsampler(network: GlideNetwork, inputs: Tensors, reader: PromptReader | None) -> Tensors:
    """Run the upsampler on the thumbnail."""
    assert reader is not None
    low_res = inputs["low_res"]
    denoiser = conditioned(network, reader.read(PROMPT), low_res)
    side = network.options.image_size
    picture = sampled(
        network,
        denoiser,
        UPSAMPLE_SAMPLER,
        UPSAMPLE_STEPS,
        lambda draw: _noise("upsampled", draw, side).to(low_res.device),
    )
    return {**passes(denoiser, inputs), "picture": _picture(picture)}


# ---- finishing -----------------------------------------------------------------------------------


def whole_picture(network: Any, before: Tensor | None) -> Tensors:
    """Return the picture of the stage before."""
    assert before is not None
    return {"x": before}


def middle_of_picture(network: Any, before: Tensor | None) -> Tensors:
    """Return the middle of the picture of the stage before, ``CROP`` pixels wide and high."""
    assert before is not None
    top, left = (max(0, (length - CROP) // 2) for length in before.shape[2:])
    return {"x": before[:, :, top : top + CROP, left : left + CROP].contiguous()}


def enlarged(
    network: RRDBNet | UpstreamRRDBNet, inputs: Tensors, reader: PromptReader | None
) -> Tensors:
    """Enlarge: the native engine in strips, the original in one piece."""
    y = network.enlarge(inputs["x"])
    return {"enlarged": y, "picture": _picture(y)}


def detailer_inputs(network: VQGAN, before: Tensor | None) -> Tensors:
    """Return the picture, and its codes, so that both engines decode the same ones."""
    assert before is not None
    x = as_input(before, network.options.factor)
    return {"x": x, "codes": network.indices(network.encode(x))}


def detailed(
    network: VQGAN | UpstreamVQGAN, inputs: Tensors, reader: PromptReader | None
) -> Tensors:
    """Encode the picture, choose its codes, and decode them; and decode given codes."""
    vectors = network.encode(inputs["x"])
    codes = network.indices(vectors)
    picture = _picture((network.decode(codes) + 1) / 2)
    same = network.decode(inputs["codes"])
    return {"vectors": vectors, "codes": codes, "decoded": same, "picture": picture}


def _picture(image: Tensor) -> Tensor:
    # black where it is not a number: the network's other results, which are compared too, tell that
    image = torch.nan_to_num(image[0].float().cpu())
    return torch.from_numpy(images.to_uint8(image.numpy()))


def _open_base(arguments: argparse.Namespace) -> tuple[Any, Device, dict[str, Any]]:
    return sampling_command.open_network(arguments, super_res=False)


def _open_upsampler(arguments: argparse.Namespace) -> tuple[Any, Device, dict[str, Any]]:
    return sampling_command.open_network(arguments, super_res=True)


def _open_enlarger(arguments: argparse.Namespace) -> tuple[Any, Device, dict[str, Any]]:
    return network_command.open_network(arguments, arguments.model, RRDBNet, UpstreamRRDBNet)


def _open_detailer(arguments: argparse.Namespace) -> tuple[Any, Device, dict[str, Any]]:
    return network_command.open_network(arguments, arguments.model, VQGAN, UpstreamVQGAN)


#: Stage -> its work.
WORK: Mapping[str, Work] = {
    "thumbnails": Work(_open_base, base_inputs, base),
    "upsampled": Work(_open_upsampler, upsampler_inputs, upsampler),
    "enlarged-1024": Work(_open_enlarger, whole_picture, enlarged),
    "detailed": Work(_open_detailer, detailer_inputs, detailed),
    "enlarged-4096": Work(_open_enlarger, middle_of_picture, enlarged),
}
