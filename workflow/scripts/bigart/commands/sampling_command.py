"""What thumbnails and upsampling share: arguments, the prompt, the batch that fits, the loop."""

import argparse
import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from torch import Tensor

from bigart.commands import network_command
from bigart.commands.resume import Unfinished
from bigart.errors import UserError
from bigart.metadata import recipe
from bigart.networks.glide.model import Text2ImUNet
from bigart.networks.glide.tokenizer import Tokenizer
from bigart.networks.options import GlideOptions
from bigart.networks.upstream.glide import UpstreamText2ImUNet
from bigart.pictures import images
from bigart.running import code_version, files
from bigart.running.device import Device
from bigart.running.progress import Progress
from bigart.sampling import noise
from bigart.sampling.samplers import SAMPLERS, Denoiser, State, Text
from bigart.sampling.schedule import Schedule

log = logging.getLogger("bigart")

# Peak of the activations of one picture in one pass, as tensors of the first level's size
# (channels x side x side): twice what was measured at the published sizes, docs/performance.md
ACTIVATIONS = 48

GlideNetwork = Text2ImUNet | UpstreamText2ImUNet


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that both stages of GLIDE take."""
    parser.add_argument("--model", required=True, help="the network, converted to safetensors")
    parser.add_argument("--vocabulary", required=True, help="encoder.json of its tokenizer")
    parser.add_argument("--merges", required=True, help="vocab.bpe of its tokenizer")
    parser.add_argument("--prompt", required=True, help="what to paint")
    parser.add_argument("--artwork", default="", help="the artwork's name, for the recipe")
    parser.add_argument("--seed", type=int, default=42, help="seed of the noise (default: 42)")
    parser.add_argument(
        "--batch", default="auto", help="pictures at once: a number, or auto to fit the memory"
    )
    parser.add_argument(
        "--out", required=True, nargs="+", help="the PNGs to write, candidates 1, 2, 3 ..."
    )


def open_network(
    arguments: argparse.Namespace, super_res: bool
) -> tuple[GlideNetwork, Device, dict[str, Any]]:
    """Open the stage's network as ``stage.open_network`` does, and check that it is the right one.

    Raises:
        UserError: A base network where the upsampler is needed, the reverse, or an inpainting one.
    """
    network, device, made_with = network_command.open_network(
        arguments, arguments.model, Text2ImUNet, UpstreamText2ImUNet
    )
    if network.options.inpaint:
        raise UserError(f"{arguments.model} is an inpainting network; this stage paints anew")
    if network.options.super_res != super_res:
        kinds = {False: "a base network", True: "an upsampler"}
        raise UserError(
            f"{arguments.model} is {kinds[not super_res]}; this stage needs {kinds[super_res]}"
        )
    return network, device, made_with


class Reader:
    """Reads prompts for a network.

    Args:
        arguments: With ``vocabulary``, ``merges`` and ``model``.
        network: Its text transformer is run.
        device: Where the network is.

    Raises:
        UserError: The vocabulary has another number of tokens than the network.
    """

    def __init__(
        self, arguments: argparse.Namespace, network: GlideNetwork, device: Device
    ) -> None:
        self.tokenizer = Tokenizer.from_files(arguments.vocabulary, arguments.merges)
        self.network, self.device = network, device
        if len(self.tokenizer.encoder) != network.options.vocab:
            raise UserError(
                f"{arguments.vocabulary} has {len(self.tokenizer.encoder)} tokens and "
                f"{arguments.model} knows {network.options.vocab}: they do not belong together"
            )

    def read(self, name: str, prompt: str) -> Text:
        """Run the text transformer on one prompt, and say what is cut of a long one.

        Args:
            name: What the messages call it ("prompt").
            prompt: Any text.
        """
        length = self.network.options.text_ctx
        ids = self.tokenizer.encode(prompt)
        if len(ids) > length:
            cut = self.tokenizer.decode(ids[length:]).strip()
            log.warning(
                "the %s has %d tokens and the models read %d; this end of it is cut: %s",
                *(name, len(ids), length, cut),
            )
        tokens, mask = self.tokenizer.context(prompt, length)
        with self.device.autocast():
            return self.network.encode_text(
                tokens.to(self.device.device), mask.to(self.device.device)
            )


def _schedule(options: GlideOptions, steps: str | int) -> Schedule:
    """Return the network's noise schedule, shortened to ``steps`` (see ``Schedule.create``).

    Raises:
        UserError: It cannot be shortened so.
    """
    try:
        return Schedule.create(options.noise_schedule, steps)
    except ValueError as error:
        raise UserError(f"steps is {steps!r}: {error}") from None


def sample(
    arguments: argparse.Namespace,
    label: str,
    network: GlideNetwork,
    device: Device,
    *,
    sampler: str,
    denoiser: Callable[[slice], Denoiser],
    noise: Callable[[int, int], np.ndarray],
    passes: int,
    key: str,
) -> Iterator[tuple[int, images.Picture]]:
    """Sample all candidates, in batches that fit the memory.

    When a GPU's memory is too small all the same, the batch is halved and begun again: the noise
    belongs to the candidate, so the pictures are the same. A run that is cut short leaves a hidden
    file beside the pictures, from which the next one goes on (``unfinished``).

    Args:
        arguments: With ``steps``, ``batch`` and ``out``, one name per candidate.
        label: The stage, for the progress.
        network: Base or upsampler.
        device: Where it is.
        sampler: A key of ``SAMPLERS``.
        denoiser: Gives the network, wrapped, for a slice of the candidates (from 0).
        noise: (candidate from 1, draw) -> float32 (3, n, n).
        passes: Pictures that the network sees per candidate: 2 with guidance.
        key: See ``sampling_key``.

    Yields:
        Candidate (from 0) and its picture, uint8 (n, n, 3), as soon as it is done.
    """
    process = _schedule(network.options, arguments.steps)
    candidates = len(arguments.out)
    out = Path(arguments.out[0])
    unfinished = Unfinished(out.with_name(f".{out.stem}-unfinished.safetensors"), key)
    with device.locked():
        size = _batch(arguments.batch, candidates, network.options, device, passes)
        log.info(
            "%s: candidates: %d, %d at a time, %d steps (%s)",
            *(label, candidates, size, len(process), sampler),
        )
        pictures, state = unfinished.read(device.device)
        yield from enumerate(pictures)
        done = len(pictures) * len(process) + (state.step * len(state.x) if state else 0)
        if done:
            log.info("%s: going on from a saved state", label)
        progress = Progress(label, candidates * len(process), start=done)
        while len(pictures) < candidates:
            device.finish()  # what the last batch took, also when it was too much
            first = len(pictures)
            chunk = slice(first, min(first + (len(state.x) if state else size), candidates))
            numbers = range(chunk.start + 1, chunk.stop + 1)

            def draw(k: int, numbers: Sequence[int] = numbers) -> Tensor:
                stacked = np.stack([noise(number, k) for number in numbers])
                return torch.from_numpy(stacked).to(device.device)

            state = state or State(0, draw(0))
            steps = SAMPLERS[sampler](denoiser(chunk), process, state, draw)
            try:
                for state in steps:
                    progress.advance(len(numbers))
                    unfinished.save_if_due(pictures, state)
            except torch.OutOfMemoryError:
                if len(numbers) == 1:
                    raise UserError(
                        f"{device} has not enough memory for one picture; try "
                        "'precision: bf16' or 'device: cpu' in config.yaml, and one job for each "
                        "GPU (--resources gpu=...)"
                    ) from None
                size = max(1, len(numbers) // 2)
                progress.advance(-state.step * len(numbers))
                log.warning("not enough memory: going on with %d at a time", size)
                state = None
                continue
            except (KeyboardInterrupt, SystemExit):  # the second is SIGTERM, see cli.main
                unfinished.save(pictures, state)
                raise
            for number, x in zip(numbers, state.x.float().cpu(), strict=True):
                pictures.append(images.to_uint8((x.numpy() + 1) / 2))
                yield number - 1, pictures[-1]
            state = None
    unfinished.finish(pictures)


def sampling_key(
    arguments: argparse.Namespace,
    script: str,
    recipes: Sequence[recipe.Recipe],
    *sources: images.Picture,
) -> str:
    """Return a hash of all that decides which pictures are sampled.

    Args:
        arguments: With ``prompt``, ``seed``, ``model``, ``vocabulary`` and ``merges``.
        script: The stage's command, whose code counts.
        recipes: Of the pictures that it makes.
        sources: What it makes them from.
    """
    parts = [
        code_version.version(script),
        arguments.prompt,
        str(arguments.seed),
        # the recipe knows the model as it was published, without the options of its conversion
        *map(files.sha256, (arguments.model, arguments.vocabulary, arguments.merges)),
        *map(recipe.to_json, recipes),
        *(hashlib.sha256(source.tobytes()).hexdigest() for source in sources),
    ]
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _batch(asked: str, candidates: int, options: GlideOptions, device: Device, passes: int) -> int:
    if asked != "auto":
        if not asked.isdecimal() or int(asked) < 1:
            raise UserError(f"--batch is {asked!r}; a number from 1, or auto")
        return min(int(asked), candidates)
    size = 4 if device.precision == "fp32" else 2
    layer = options.channels * options.image_size**2 * size * passes
    most = candidates
    if device.device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device.device)
    else:
        free = psutil.virtual_memory().available
        # several pictures at once save nothing when one fills the processor, and larger arrays
        # would go back to the system
        most = min(most, Text2ImUNet.heap_threshold // 2 // layer)
    return max(1, min(most, int(free * 0.6 / (ACTIVATIONS * layer))))


def candidate_noise(seed: int, label: str, side: int) -> Callable[[int, int], np.ndarray]:
    """Return the noise of a stage: (candidate from 1, draw) -> float32 (3, side, side)."""
    return lambda candidate, draw: noise.standard_normal(
        seed, label, candidate, draw, (3, side, side)
    )
