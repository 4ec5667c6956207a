"""The proof that both engines make the same pictures: what is computed in each stage.

For each stage that runs a network the native engine makes the inputs, from its own picture of the
stage before, and both engines compute from these very numbers:

- single passes of the network, compared as floating-point numbers;
- the stage's picture, with the sampler that needs the fewest steps, compared as the 8 bits that
  would be in its file.

Everything is in float32.
"""

import argparse
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from bigart.commands import clip_command, network_command, sampling_command, upscaler_command
from bigart.commands.sampling_command import GlideNetwork
from bigart.commands.upscaler_command import Native, Upstream
from bigart.networks.native.clip import ClipImage
from bigart.networks.native.vqgan import VQGAN
from bigart.networks.reconstruction import as_input
from bigart.networks.upstream.clip import UpstreamClipImage
from bigart.networks.upstream.vqgan import UpstreamVQGAN
from bigart.pictures import images
from bigart.running.device import Device
from bigart.running.progress import Progress
from bigart.sampling import noise
from bigart.sampling.judge import Judge
from bigart.sampling.prompts import PromptReader
from bigart.sampling.samplers import SAMPLERS, Denoiser, State, conditioned, guided
from bigart.sampling.schedule import Schedule
from bigart.stages import COMPARED

PROMPT = "a painting of a sunset over a lake"
SEED = 42
GUIDANCE = 2.0
TIMESTEPS = (950, 500, 50)
CROP = 512

Tensors = dict[str, Tensor]
"""Name -> what was computed: float32, int64 for codes, uint8 (height, width, 3) for a picture."""


class Work(NamedTuple):
    """What is computed in a stage: inputs for both engines from the stage before, and results."""

    inputs: Callable[[Any, Tensor | None], Tensors]
    compute: Callable[[Any, Tensors, Any], Tensors]


def open_network(arguments: argparse.Namespace) -> tuple[Any, Device, dict[str, Any]]:
    """Open the network of ``arguments.stage``, see ``network_command.open_network``."""
    stage = COMPARED[arguments.stage]
    if stage.architecture == "glide":
        return sampling_command.open_network(arguments, super_res=stage.before is not None)
    if stage.architecture == "rrdbnet":
        return upscaler_command.open_upscaler(arguments)
    if stage.architecture == "clip-image":
        return network_command.open_network(arguments, ClipImage, UpstreamClipImage)
    return network_command.open_network(arguments, VQGAN, UpstreamVQGAN)


def prompt_reader(
    arguments: argparse.Namespace, network: Any, device: Device, record: dict[str, Any]
) -> PromptReader | Judge | None:
    """Return what reads the prompt for the network, where that has one; the record names its files.

    CLIP's networks are opened so that gradients can be had.
    """
    match COMPARED[arguments.stage].architecture:
        case "glide":
            return sampling_command.prompt_reader(arguments, network, device)
        case "clip-image":
            arguments.clip_image, side = arguments.model, network.options.image_size
            with torch.inference_mode(False), torch.no_grad():
                judge, record["models"], _ = clip_command.open_judge(
                    arguments, PROMPT, device, side
                )
            return judge
    return None


# ---- GLIDE ---------------------------------------------------------------------------------------


def glide_inputs(network: GlideNetwork, before: Tensor | None) -> Tensors:
    """Return the thumbnail, or without one a soft picture, with noise as at some steps."""
    side = network.options.image_size
    picture = before * 2 - 1 if before is not None else _noise("verify-picture", 0, 4).clamp(-1, 1)
    inputs = {} if before is None else {"low_res": picture}
    picture = F.interpolate(picture, (side, side), mode="bilinear", align_corners=False)
    process = Schedule.create(network.options.noise_schedule, "")
    for draw, t in enumerate(TIMESTEPS):
        kept = float(process.alphas_cumprod[t])
        added = _noise("verify", draw, side).to(picture.device)
        inputs[f"x at {t}"] = picture * kept**0.5 + added * (1 - kept) ** 0.5
    return inputs


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


def painted(network: GlideNetwork, inputs: Tensors, reader: PromptReader | None) -> Tensors:
    """Run the base network, with guidance as in every step of a thumbnail, or the upsampler."""
    assert reader is not None
    prompt = reader.read(PROMPT)
    sampler, steps, label = "dpm++sde", "15", "thumbnails"
    if network.options.super_res:
        denoiser = conditioned(network, prompt, inputs["low_res"])
        sampler, steps, label = "ddim", "fast27", "upsampled"
    else:
        denoiser = guided(network, prompt, reader.read(""), GUIDANCE)
    x = inputs[f"x at {TIMESTEPS[0]}"]

    def drawn(draw: int) -> Tensor:
        return _noise(label, draw, x.shape[-1]).to(x.device)

    picture = sampled(network, denoiser, sampler, steps, drawn)
    return {**passes(denoiser, inputs), "picture": _picture(picture)}


def _noise(label: str, draw: int, side: int) -> Tensor:
    return torch.from_numpy(noise.standard_normal(SEED, label, 1, draw, (3, side, side)))[None]


# ---- CLIP ----------------------------------------------------------------------------------------


def clip_inputs(network: ClipImage, before: Tensor | None) -> Tensors:
    """Return the thumbnail, with noise as at some steps and without."""
    assert before is not None
    inputs = {"x at 0": before * 2 - 1}
    process = Schedule.create("squaredcos_cap_v2", "")
    for draw, t in enumerate(TIMESTEPS):
        kept = float(process.alphas_cumprod[t])
        added = _noise("verify", draw, before.shape[-1]).to(before.device)
        inputs[f"x at {t}"] = inputs["x at 0"] * kept**0.5 + added * (1 - kept) ** 0.5
    return inputs


def judged(network: ClipImage | UpstreamClipImage, inputs: Tensors, judge: Judge | None) -> Tensors:
    """Compare the pictures with the prompt, and take the gradient that guides."""
    assert judge is not None
    results = {"prompt": judge.prompt}
    for name, x in inputs.items():
        t = int(name.removeprefix("x at "))
        times = torch.full((len(x),), t, device=x.device)
        results[f"picture at step {t}"] = network.embed(x, times)
        results[f"gradient at step {t}"] = judge.gradient(x, t)
    return results


# ---- finishing -----------------------------------------------------------------------------------


def middle_of_picture(network: Any, before: Tensor | None) -> Tensors:
    """Return the middle of the picture of the stage before, at most ``CROP`` pixels wide and high.

    The original takes 14 GB for the whole picture at 1024 px.
    """
    assert before is not None
    top, left = (max(0, (length - CROP) // 2) for length in before.shape[2:])
    return {"x": before[:, :, top : top + CROP, left : left + CROP].contiguous()}


def enlarged(network: Native | Upstream, inputs: Tensors, reader: PromptReader | None) -> Tensors:
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


#: Architecture -> the work of its stages.
WORK: Mapping[str, Work] = {
    "glide": Work(glide_inputs, painted),
    "rrdbnet": Work(middle_of_picture, enlarged),
    "vqgan": Work(detailer_inputs, detailed),
    "clip-image": Work(clip_inputs, judged),
}
