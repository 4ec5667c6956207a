"""How the embedded judge is trained: a small noised CLIP, for how well a picture fits a prompt.

The loss is CLIP's (Radford et al. 2021, arXiv:2103.00020, section 2.3): each picture is to be told
from the pictures of the other captions in the batch, and each caption from the other captions.
Half of the pictures are clean, as when a candidate is chosen; the others have the noise of the
base's process (Nichol et al. 2021, arXiv:2112.10741, section 2.4). Beside the captions of a batch
stand captions in which one colour is another, which fit no picture.
"""

import dataclasses
import functools
import math
import zlib
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

import common
from bigart.networks.clip_options import ClipImageOptions, ClipTextOptions
from bigart.networks.clip_words import END
from bigart.networks.native.clip import ClipImage, ClipText, TextInput
from bigart.networks.options import GlideOptions
from bigart.networks.tokenizer import Tokenizer
from common import (
    HELD_OUT,
    TOKENS,
    Figures,
    Job,
    Pool,
    Run,
    autocast,
    clip_vectors,
    held_out,
    prepared,
    read_vocabulary,
    scene_at,
    start_from,
)
from diffusion_loss import Process
from painter import caption
from painter.colours import NAMED
from painter.scene import NUMBERS

PATCH = 8
CLEAN = 0.5  # share of the pictures without noise
SHIFT = 4  # pixels by which a picture is moved at most, so that it is not learned by heart
SCALE, MOST = 14.0, 100.0  # factor of the cosines, at the start and at most
OTHERS = 7  # pictures beside a caption's own, for the figures


class Judge(nn.Module):
    """Both encoders, and the factor of the cosines, which only training needs."""

    def __init__(self, text: ClipText, image: ClipImage) -> None:
        super().__init__()
        self.text, self.image = text, image
        self.log_scale = nn.Parameter(torch.tensor(math.log(SCALE)))

    def forward(
        self, pictures: Tensor, times: Tensor, tokens: Tensor, lengths: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the unit vectors of noisy pictures and of texts, each (..., embedding) float32.

        As both encoders' ``embed``, but under the caller's autocast up to the last layers, and
        without what stands behind the end of the longest text.

        Args:
            pictures: (B, 3, n, n), about [-1, 1] plus noise.
            times: (B,), timesteps.
            tokens: (T, L), L at most the text encoder's context.
            lengths: (T,), the number of tokens up to the end.
        """
        first, *layers, output = self.image.blocks.values()
        h = first(pictures, times)
        for layer in layers:
            h = layer(h)
        read, *layers, summary = self.text.blocks.values()
        assert isinstance(read, TextInput)
        x = F.embedding(tokens, read.w_voc) + read.w_pos[: tokens.shape[1]]
        for layer in layers:
            x = layer(x)
        last = x[torch.arange(len(x), device=x.device), lengths - 1]
        with torch.autocast(h.device.type, enabled=False):
            return output(h[:, 0].float()), summary(last.float())


def new_judge(tiny: bool) -> Judge:
    """Return an untrained judge; of 1.5 M parameters at most, for 3 MB in fp16."""
    words = len(read_vocabulary().encoder)
    if tiny:
        text = ClipTextOptions(words, TOKENS, width=32, layers=1, heads=2, embedding=16)
        image = ClipImageOptions(64, 16, width=32, layers=1, heads=2, embedding=16)
    else:
        text = ClipTextOptions(words, TOKENS, width=96, layers=3, heads=3, embedding=128)
        image = ClipImageOptions(64, PATCH, width=128, layers=4, heads=4, embedding=128)
    return Judge(ClipText(text), ClipImage(image))


@functools.cache
def scene_key(index: int) -> int:
    """Return a number that pictures of the same scene share."""
    return zlib.crc32(repr(scene_at(index)).encode())


def word_groups(vocabulary: Tokenizer) -> list[NDArray[np.int64]]:
    """Return tokens within a caption of which another of the group says something else.

    They are the names of the colours, and the numbers two to five, which take the same grammar.
    """
    groups = []
    for names in (NAMED, NUMBERS[2:6]):
        tokens = [vocabulary.encode(f" {name}") for name in names]
        groups.append(np.array([ids[0] for ids in tokens if len(ids) == 1]))
    return groups


def with_wrong_words(
    rng: np.random.Generator, words: NDArray[np.int64], groups: Sequence[NDArray[np.int64]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Make one word of each caption another one of its group, which the caption does not have.

    Args:
        rng: Decides which.
        words: Tokens of captions, (B, n).
        groups: Tokens, as of ``word_groups``.

    Returns:
        The captions (K, n), and which of the B they were (K,); those without such a word are left
        out.
    """
    named = [np.isin(words, group) for group in groups]
    rows = np.flatnonzero(np.any(named, axis=(0, 2)))
    wrong = words[rows]
    for row, line in zip(rows, wrong, strict=True):
        chosen = rng.choice([k for k, there in enumerate(named) if there[row].any()])
        there = words[row][named[chosen][row]]
        absent = np.setdiff1d(groups[chosen], there)
        line[line == there[rng.integers(len(there))]] = absent[rng.integers(len(absent))]
    return wrong, rows


def ended(words: NDArray[np.int64], end: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Put the end behind captions (B, n) and zeros behind it; return them and their lengths."""
    lengths = np.minimum((words >= 0).sum(1), words.shape[1] - 1)
    ids = np.where(np.arange(words.shape[1]) < lengths[:, None], words, 0)
    ids[np.arange(len(ids)), lengths] = end
    return ids, lengths + 1


def shifted(pictures: Tensor, most: int) -> Tensor:
    """Return pictures (B, 3, n, n), each moved by up to ``most`` pixels; the edge is repeated."""
    batch, _, side, _ = pictures.shape
    device = pictures.device
    moves = torch.randint(-most, most + 1, (2, batch, 1), device=device)
    ys, xs = (torch.arange(side, device=device) + moves).clamp(0, side - 1)
    index = torch.arange(batch, device=device)[:, None, None]
    return pictures.permute(0, 2, 3, 1)[index, ys[:, :, None], xs[:, None]].permute(0, 3, 1, 2)


def contrastive_loss(
    pictures: Tensor, texts: Tensor, scale: Tensor, same: Tensor, unused: Tensor
) -> Tensor:
    """Return CLIP's symmetric loss, with more texts for the pictures to be told from.

    Args:
        pictures: Unit vectors (B, embedding).
        texts: Unit vectors (B + K, embedding), the pictures' own first.
        scale: Factor of the cosines.
        same: (B, B), which pictures the captions of others fit as well as their own; they are
            neither right nor wrong.
        unused: (K,), which of the further texts do not count.
    """
    logits = scale * pictures @ texts.T
    logits = logits.masked_fill(torch.cat([same, unused.expand(len(same), -1)], 1), -torch.inf)
    own = torch.arange(len(pictures), device=pictures.device)
    columns = logits[:, : len(pictures)].T
    return (F.cross_entropy(logits, own) + F.cross_entropy(columns, own)) / 2


def judged(network: Judge, pictures: Tensor, time: int, captions: Sequence[str]) -> Tensor:
    """Return the cosines (T, B) of captions and pictures (B, 3, n, n) of a timestep."""
    times = torch.full((len(pictures),), time, device=pictures.device)
    with torch.inference_mode():
        return clip_vectors(network.text, captions) @ network.image.embed(pictures, times).T


def evaluate(network: Judge, process: Process, count: int) -> dict[str, float]:
    """Return how often the judge is right about pictures never trained on.

    Returns:
        ``found``: the share of captions whose own picture it prefers to those of seven other
        captions; ``found_in_noise``: the same halfway through the noise (timestep 500);
        ``colours``: the share of captions that it prefers to the same ones with a wrong colour;
        ``counts``: the same with a wrong number.
    """
    rng, generator = np.random.default_rng(5), torch.Generator().manual_seed(5)
    device = process.signal.device
    pictures = held_out(count, network.image.options.image_size)
    noise = torch.randn(pictures.shape, generator=generator)
    pictures, noise = pictures.to(device), noise.to(device)
    scenes = [scene_at(HELD_OUT + i) for i in range(count)]
    captions = [caption(scene, rng) for scene in scenes]
    found = {}
    for name, time in (("found", 0), ("found_in_noise", 500)):
        times = torch.full((count,), time, device=device)
        seen = process.noisy(pictures, times, noise) if time else pictures
        scores = judged(network, seen, time, captions).cpu().numpy()
        right = 0
        for i in range(count):
            others = [k for k in range(count) if scenes[k] != scenes[i]]
            rivals = scores[i, rng.permutation(others)[:OTHERS]]
            right += bool((scores[i, i] > rivals).all())
        found[name] = round(right / count, 3)

    vocabulary = read_vocabulary()
    words = np.full((count, TOKENS), -1)
    for line, text in zip(words, captions, strict=True):
        ids = vocabulary.encode(text)[:TOKENS]
        line[: len(ids)] = ids
    words = np.repeat(words, len(NAMED), 0)
    truths = judged(network, pictures, 0, captions).diagonal()
    for name, group in zip(("colours", "counts"), word_groups(vocabulary), strict=True):
        wrong, rows = with_wrong_words(rng, words, [group])
        if not len(rows):  # no caption has such a word (--tiny has few)
            continue
        lies = [vocabulary.decode(line[line >= 0].tolist()) for line in wrong]
        said = judged(network, pictures, 0, lies)[range(len(lies)), rows // len(NAMED)]
        found[name] = round(float((truths[rows // len(NAMED)] > said).float().mean()), 3)
    return found


def pools(run: Run) -> list[Pool]:
    """Return the pools of pictures that the judge is trained on, which are the base's."""
    return [Pool(run.pictures, 64, 6 if run.tiny else 40_000, first=2 if run.tiny else 2000)]


def job(run: Run, drawn: list[Pool]) -> Job:
    """Return how the judge is trained."""
    (pool,) = drawn
    network = new_judge(run.tiny)
    for part in ("text", "image"):
        start_from(run, getattr(network, part), f"judge-{part}")
    if scale := run.history().get("judge", {}).get("scale"):
        nn.init.constant_(network.log_scale, math.log(scale))
    network.to(run.device)
    batch = run.batch(64, 1024)  # not compiled: it would take as long as it saves
    vocabulary = read_vocabulary()
    groups, end = word_groups(vocabulary), vocabulary.encoder[END]
    # all batches of one length, and none as long as no caption is
    most = int((pool.words[: pool.ready()] >= 0).sum(2).max()) + 1
    longest = min(TOKENS, 16 * math.ceil(most / 16))
    process = Process(GlideOptions.noise_schedule, run.device)

    def make(rng: np.random.Generator) -> tuple[Tensor, ...]:
        indices = pool.some(rng, batch)
        # not flipped as the base's are: what is left or right is to be told
        pictures = torch.from_numpy(pool.pictures[indices]).permute(0, 3, 1, 2)
        words = pool.words[indices, rng.integers(0, common.CAPTIONS, batch)].astype(np.int64)
        words = words[:, :longest]
        wrong, _ = with_wrong_words(rng, words, groups)
        further = np.full((batch // 2, words.shape[1]), -1)
        count = min(len(wrong), len(further))
        further[:count] = wrong[:count]
        ids, lengths = ended(np.concatenate([words, further]), end)
        alike = np.array([scene_key(int(index)) for index in indices])
        same = (alike[:, None] == alike) & ~np.eye(batch, dtype=bool)
        unused = np.arange(len(further)) >= count
        return pictures, *map(torch.from_numpy, (ids, lengths, same, unused))

    stream = prepared(run, make, 5)

    def step(number: int, progress: float) -> tuple[Tensor, Figures]:
        pictures, tokens, lengths, same, unused = (
            part.to(run.device, non_blocking=True) for part in next(stream)
        )
        x0 = shifted(pictures, SHIFT).float() / 127.5 - 1
        times = torch.randint(0, 1000, (batch,), device=run.device)
        times = times * (torch.rand(batch, device=run.device) >= CLEAN)
        xt = process.noisy(x0, times, torch.randn_like(x0))
        with autocast(run.device, network.image.options.width):
            seen, said = network(xt, times, tokens, lengths)
        with torch.no_grad():
            network.log_scale.clamp_(max=math.log(MOST))
        return contrastive_loss(seen, said, network.log_scale.exp(), same, unused), {}

    def figures(average: nn.Module) -> dict[str, float]:
        assert isinstance(average, Judge)
        scale = round(float(average.log_scale.detach().exp()), 1)
        # its file says so to who guides with it
        average.image.options = dataclasses.replace(average.image.options, logit_scale=scale)
        return {**evaluate(average, process, 8 if run.tiny else 100), "scale": scale}

    rate = 1e-3 if run.device == "cpu" else 1.5e-3
    return Job(
        "judge", "", network, rate, batch, step, figures, decay=0.998, parts=("text", "image")
    )
