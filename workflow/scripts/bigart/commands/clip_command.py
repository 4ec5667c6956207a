"""What the commands share that judge pictures with noised CLIP: their arguments, and opening it."""

import argparse
import logging
from pathlib import Path
from typing import Any

import torch

from bigart.config.plain_text import plain
from bigart.errors import UserError
from bigart.networks.clip_reader import clip_reader
from bigart.networks.native.clip import ClipImage, ClipText
from bigart.networks.upstream.clip import UpstreamClipImage, UpstreamClipText
from bigart.running import files
from bigart.running.device import Device
from bigart.running.engines import NATIVE
from bigart.sampling.judge import Judge
from bigart.weights import network_file

log = logging.getLogger("bigart")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name its files, besides ``vocabulary`` and ``merges``."""
    group = parser.add_argument_group("noised CLIP")
    group.add_argument("--clip_text", required=True, help="its text encoder")
    group.add_argument("--clip_image", required=True, help="its image encoder")
    group.add_argument(
        "--clip_vocabulary",
        help="bpe_simple_vocab_16e6.txt.gz of its tokenizer (default: it reads what the set reads)",
    )


def open_judge(
    arguments: argparse.Namespace, prompt: str, device: Device, side: int
) -> tuple[Judge, dict[str, str], list[str]]:
    """Open noised CLIP and read the prompt; the log says what of it does not fit.

    It computes in float32 in any precision. Call it outside ``torch.inference_mode``.

    Args:
        arguments: With those of ``add_arguments``, ``vocabulary``, ``merges`` and ``engine``.
        prompt: As it was written.
        device: Where it is to be.
        side: Of the pictures that it is to judge, in pixels.

    Returns:
        The judge; for the recipe the name and the SHA-256 of each network; and what else decides
        what it says.

    Raises:
        UserError: No such file, or the files do not fit together or the pictures.
    """
    native = arguments.engine == NATIVE
    kinds: tuple[type[Any], type[Any]] = (
        (ClipText, ClipImage) if native else (UpstreamClipText, UpstreamClipImage)
    )
    paths = (arguments.clip_text, arguments.clip_image)
    (text, of_text), (image, of_image) = (
        network_file.open_network(path, kind, device.device, torch.float32)
        for path, kind in zip(paths, kinds, strict=True)
    )
    if text.options.embedding != image.options.embedding:
        raise UserError(
            f"{paths[0]} makes vectors of {text.options.embedding} numbers and {paths[1]} of "
            f"{image.options.embedding}: they do not belong together"
        )
    if image.options.image_size != side:
        raise UserError(
            f"{paths[1]} judges pictures of {image.options.image_size} pixels, not of {side}"
        )
    vocabulary = arguments.clip_vocabulary or arguments.vocabulary
    reader = clip_reader(arguments.clip_vocabulary, arguments.vocabulary, arguments.merges)
    length = text.options.text_ctx
    if len(reader.ids) > text.options.vocab:
        raise UserError(
            f"{vocabulary} has {len(reader.ids)} tokens and {paths[0]} knows "
            f"{text.options.vocab}: they do not belong together"
        )
    count, cut = reader.cut(plain(prompt), length)
    if cut:
        log.warning(
            "the prompt has %d tokens and CLIP reads %d; its end is cut for CLIP: %s",
            *(count, length - reader.marks, cut),
        )
    ids, end = reader.context(plain(prompt), length)
    tokens, ends = (torch.tensor([part], device=device.device) for part in (ids, end))
    judge = Judge(image, text.embed(tokens, ends))
    log.info("noised CLIP %s", paths[1])
    models = {
        Path(path).name: metadata.get("source_sha256") or files.sha256(path)
        for path, metadata in zip(paths, (of_text, of_image), strict=True)
    }
    options = map(repr, (text.options, image.options))
    return judge, models, [*options, files.sha256(vocabulary)]
