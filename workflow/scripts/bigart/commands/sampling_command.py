"""What the commands that sample candidates share: arguments, the network, the prompt, the loop."""

import argparse
import hashlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import torch

from bigart.commands import network_command
from bigart.commands.resume import SavedSampling
from bigart.config.options import add_option
from bigart.config.plain_text import plain
from bigart.errors import UserError
from bigart.metadata import recipe
from bigart.networks.native.glide.model import Text2ImUNet
from bigart.networks.options import GlideOptions
from bigart.networks.upstream.glide import UpstreamText2ImUNet
from bigart.pictures.images import Picture
from bigart.running import code_version, files
from bigart.running.device import Device
from bigart.running.progress import Progress
from bigart.sampling.candidates import CandidateNoise, Candidates, finished
from bigart.sampling.prompts import PromptReader
from bigart.sampling.samplers import Denoiser, Text
from bigart.sampling.schedule import Schedule

log = logging.getLogger("bigart")

# Peak of the activations of one picture in one pass, as tensors of the first level's size
# (channels x side x side): twice what was measured at the published sizes, docs/speed.md
ACTIVATIONS = 48

GlideNetwork = Text2ImUNet | UpstreamText2ImUNet


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that both stages of GLIDE take."""
    parser.add_argument("--vocabulary", required=True, help="encoder.json of its tokenizer")
    parser.add_argument("--merges", required=True, help="vocab.bpe of its tokenizer")
    add_option(parser, "--prompt", "prompt")
    parser.add_argument("--artwork", default="", help="the artwork's name, for the recipe")
    add_option(parser, "--seed", "seed")
    add_option(parser, "--batch", "batch")
    parser.add_argument(
        "--out", required=True, nargs="+", help="the PNGs to write, candidates 1, 2, 3 ..."
    )


def open_network(
    arguments: argparse.Namespace, super_res: bool, may_inpaint: bool = False
) -> tuple[GlideNetwork, Device, dict[str, Any]]:
    """Open the stage's network as ``network_command.open_network`` does.

    Raises:
        UserError: A base network where the upsampler is needed, the reverse, or an inpainting one
            where nothing is known of the picture.
    """
    network, device, made_with = network_command.open_network(
        arguments, Text2ImUNet, UpstreamText2ImUNet
    )
    if network.options.inpaint and not may_inpaint:
        raise UserError(f"{arguments.model} is for inpainting, of which there is none here")
    if network.options.super_res != super_res:
        kinds = {False: "a base network", True: "an upsampler"}
        raise UserError(
            f"{arguments.model} is {kinds[not super_res]}; this stage needs {kinds[super_res]}"
        )
    return network, device, made_with


def prompt_reader(
    arguments: argparse.Namespace, network: GlideNetwork, device: Device
) -> PromptReader:
    """Return what reads prompts with the vocabulary that the arguments name."""
    files = arguments.vocabulary, arguments.merges
    return PromptReader(*files, network, device.device, device.autocast)


def read_prompt(reader: PromptReader, name: str, prompt: str) -> Text:
    """Read a prompt in its plain form; the log names it ("prompt") and says what is cut."""
    count, cut = reader.cut(plain(prompt))
    if cut:
        log.warning(
            "the %s has %d tokens and the models read %d; its end is cut: %s",
            *(name, count, reader.length, cut),
        )
    return reader.read(plain(prompt))


def add_upsampler_guidance(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the upsampler's guidance."""
    add_option(parser, "--upsample-guidance", "upsample_guidance")
    add_option(parser, "--upsample-negative-prompt", "upsample_negative_prompt")


def read_upsampler_prompts(
    reader: PromptReader, arguments: argparse.Namespace
) -> tuple[Text, Text, dict[str, Any]]:
    """Read what the upsampler follows and leads away from; return both, and a recipe's words.

    As published nothing pulls: it follows the thumbnail, and the second text is the first.
    """
    text = read_prompt(reader, "prompt", arguments.prompt)
    guidance, negative = arguments.upsample_guidance, arguments.upsample_negative_prompt
    if guidance == 1:
        return text, text, {}
    away = read_prompt(reader, "negative prompt", negative)
    return text, away, {"upsample_guidance": guidance, "upsample_negative_prompt": negative}


def sample(
    arguments: argparse.Namespace,
    stage: str,
    network: GlideNetwork,
    device: Device,
    *,
    sampler: str,
    denoiser: Callable[[slice], Denoiser],
    noise: CandidateNoise,
    passes: int,
    key: str,
    write: Callable[[list[Picture]], None],
    kind: Callable[..., Candidates] = Candidates,
) -> None:
    """Sample all candidates, in batches that fit the memory, and write them.

    When a GPU's memory is too small after all, the batch is halved and starts again: the noise
    belongs to the candidate, so the pictures are the same. An interrupted run leaves a hidden file
    beside the pictures, from which the next one resumes (``resume``).

    Args:
        arguments: With ``steps``, ``batch`` and ``out``, one name per candidate.
        stage: For the progress.
        network: Base or upsampler.
        device: Where it is.
        sampler: A key of ``SAMPLERS``.
        denoiser: Gives the network, wrapped, for a slice of the candidates (from 0).
        noise: Of each candidate.
        passes: Pictures that the network sees per candidate: 2 with guidance.
        key: See ``sampling_key``.
        write: Writes the pictures, uint8 (n, n, 3), all together.
        kind: How candidates are sampled, where it is not as usual.
    """
    process = Schedule.create(network.options.noise_schedule, arguments.steps)
    candidates = kind(process, sampler, denoiser, noise, device.device)
    moves = candidates.moves
    count = len(arguments.out)
    out = Path(arguments.out[0])
    saved = SavedSampling(out.with_name(f".{out.stem}-unfinished.safetensors"), key)
    with device.locked():
        size = _batch(arguments.batch, count, network.options, device, passes)
        log.info(
            "%s: candidates: %d, %d at a time, %d steps (%s)",
            *(stage, count, size, moves, sampler),
        )
        pictures, state = saved.read(device.device)
        done = len(pictures) * moves + (state.step * len(state.x) if state else 0)
        if done:
            log.info("%s: resuming from a saved state", stage)
        progress = Progress(stage, count * moves, start=done)
        while len(pictures) < count:
            device.finish()  # frees what the last batch took, also when it was too much
            first = len(pictures)
            batch = range(first, min(first + (len(state.x) if state else size), count))
            start = state = state or candidates.start(batch)
            try:
                for state in candidates.steps(batch, start):
                    progress.advance(len(batch))
                    saved.save_if_due(pictures, state)
            except torch.OutOfMemoryError:
                if len(batch) == 1:
                    raise UserError(
                        f"{device} has not enough memory for one picture; try "
                        "'precision: bf16' or 'device: cpu' in config.yaml, and one job for each "
                        "GPU (--resources gpu=...)"
                    ) from None
                size = max(1, len(batch) // 2)
                progress.advance(-state.step * len(batch))
                log.warning("not enough memory: resuming with %d at a time", size)
                state = None
                continue
            except (KeyboardInterrupt, SystemExit):  # the second is SIGTERM, see command.main
                saved.save(pictures, state)
                raise
            pictures += finished(state)
            state = None
    write(pictures)
    saved.finish(pictures)


def sampling_key(
    arguments: argparse.Namespace,
    script: str,
    options: GlideOptions,
    recipes: Sequence[recipe.Recipe],
    *sources: Picture,
    more: Sequence[str] = (),
) -> str:
    """Return a hash of all that decides which pictures are sampled.

    Args:
        arguments: With ``prompt``, ``seed``, ``engine``, ``vocabulary`` and ``merges``.
        script: The stage's command, of which the computing code counts.
        options: Of the network.
        recipes: Of the pictures that it makes, with the hash of the published model.
        sources: What it makes them from.
        more: What else decides.
    """
    parts = [
        code_version.version(script, arguments.engine),
        arguments.prompt,
        str(arguments.seed),
        repr(options),  # the recipe knows the model as it was published, without them
        *map(files.sha256, (arguments.vocabulary, arguments.merges)),
        *(recipe.to_json({**made, "bigart": None}) for made in recipes),
        *(hashlib.sha256(source.tobytes()).hexdigest() for source in sources),
        *more,
    ]
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _batch(
    asked: int | str, candidates: int, options: GlideOptions, device: Device, passes: int
) -> int:
    if isinstance(asked, int):
        return min(asked, candidates)
    size = 4 if device.precision == "fp32" else 2
    layer = options.channels * options.image_size**2 * size * passes
    most = candidates
    if device.device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device.device)
    else:
        free = psutil.virtual_memory().available
        # several pictures at once save nothing when one fills the processor, and larger arrays
        # would return to the system
        most = min(most, Text2ImUNet.heap_threshold // 2 // layer)
    return max(1, min(most, int(free * 0.6 / (ACTIVATIONS * layer))))
