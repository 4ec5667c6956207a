"""How the embedded base network is trained: a caption to a 64 px picture.

Cosine schedule, learned variance, 15 % of the captions left out for guidance. From nothing it
learns the words first, then pictures of 32 px, where one costs a quarter, and 64 px at last.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import common  # noqa: F401  (finds the library)
from bigart.networks.native.glide.model import Text2ImUNet
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
    compiled,
    held_out,
    on_device,
    prepared,
    read_vocabulary,
    scene_at,
    start_from,
    tokenized,
)
from diffusion_loss import Process
from painter import FAMILIES, Scene, caption
from painter.colours import NAMED
from painter.outdoors import SEASONS, TIMES, WEATHERS
from painter.scene import MEDIA

NO_CAPTION = 0.15
#: How often pictures of the families are trained on: the harder their forms, the more.
SHARES = np.full(len(FAMILIES), 0.45)
SHARES[[list(FAMILIES).index(name) for name in ("circles", "triangles", "squares", "shapes")]] = 1.0
SHARES[[list(FAMILIES).index(name) for name in ("corgi", "cat", "traffic", "pets", "table")]] = 0.7
ATTRIBUTES = (*FAMILIES, *NAMED, *filter(None, (*TIMES, *WEATHERS, *SEASONS)), *MEDIA, *"123456789")
#: The parts of the network that read the caption.
TEXT = ("transformer", "final_ln", "token_embedding", "positional_embedding", "padding_embedding")
WORD_STEPS = 800
SMALL = 0.3  # share of a run from nothing at 32 px


def start_well(network: Text2ImUNet) -> None:
    """Let every block begin as its shortcut, and every word be heard.

    Last convolutions and projections start at zero. In the text transformer a caption's ten tokens
    stand beside fifty paddings; attention starts by looking past these, or it takes
    the network a thousand steps to notice the words.
    """
    for name, parameter in network.named_parameters():
        if name.endswith(
            ("out_layers.3.weight", "out_layers.3.bias", "proj_out.weight", "out.2.weight")
        ):
            nn.init.zeros_(parameter)
    hear_words(network)


@torch.no_grad()
def hear_words(network: Text2ImUNet) -> None:
    """Start the text transformer with attention to tokens, told from padding by channel 0."""
    nn.init.normal_(network.token_embedding.weight, std=0.5)
    network.token_embedding.weight[:, 0] = 0.5
    nn.init.normal_(network.padding_embedding, std=0.05)
    network.padding_embedding[:, 0] = -1.0
    heads, width = network.options.text_heads, network.options.text_width
    for block in network.transformer.resblocks:
        qkv = block.attn.c_qkv  # type: ignore[union-attr]
        assert isinstance(qkv, nn.Linear)
        for head in range(heads):
            query = head * 3 * width // heads
            key = query + width // heads
            qkv.weight[[query, key]] = 0
            qkv.bias[[query, key]] = 0
            qkv.bias[query] = 2.0
            qkv.weight[key, 0] = 1.5


@torch.no_grad()
def start_with_noise_passed_on(network: Text2ImUNet) -> None:
    """Let the untrained network answer "what I see is noise", which is right where noise prevails.

    The noisy picture goes from the first convolution by the last shortcut to the last convolution,
    each colour with its negative, for SiLU(a) - SiLU(-a) = a and the pair has no mean to lose.
    There an error of a hundredth in the noise is a wrong picture, and a way through that is
    exactly linear saves the network from learning one.
    """
    first: Any = network.input_blocks[0]
    last: Any = network.output_blocks[-1]
    first, shortcut, out = first[0], last[0].skip_connection, network.out[2]
    assert isinstance(first, nn.Conv2d)
    assert isinstance(out, nn.Conv2d)
    values = dict(network.named_parameters())
    count = first.in_channels
    first.weight[:count] = 0
    values["input_blocks.0.0.bias"][:count] = 0
    shortcut.weight[: 2 * count] = 0
    shortcut.bias[: 2 * count] = 0
    nn.init.zeros_(out.weight)
    nn.init.zeros_(values["out.2.bias"])
    behind = shortcut.weight.shape[1] - first.weight.shape[0]
    for channel in range(count):
        first.weight[channel, channel, 1, 1] = 1
        shortcut.weight[2 * channel, behind + channel] = 1
        shortcut.weight[2 * channel + 1, behind + channel] = -1
    for colour in range(3):
        out.weight[colour, 2 * colour, 1, 1] = 1
        out.weight[colour, 2 * colour + 1, 1, 1] = -1


def times_for_layout(batch: int, device: str) -> Tensor:
    """Return timesteps (batch,), most of them noisy, where a picture's subject is decided.

    The density rises as (1000 - t)^(-1/3): cleaning up the last of the noise is learned soon.
    """
    return (1000 * (1 - torch.rand(batch, device=device) ** 1.5)).long().clamp(0, 999)


def denoising_figures(network: nn.Module, process: Process, count: int) -> dict[str, float]:
    """Return the error in the noise on pictures never trained on, at fixed timesteps and noise."""
    assert isinstance(network, Text2ImUNet)
    rng, generator = np.random.default_rng(5), torch.Generator().manual_seed(5)
    device = process.signal.device
    x0 = held_out(count, network.options.image_size)
    captions = [caption(scene_at(HELD_OUT + i), rng) for i in range(count)]
    tokens, mask = tokenized(captions, read_vocabulary())
    times = torch.linspace(10, 990, count).long()
    noise = torch.randn(x0.shape, generator=generator)
    xt = process.noisy(x0.to(device), times.to(device), noise.to(device))
    with torch.inference_mode():
        out = network(xt, times.to(device), tokens.to(device), mask.to(device))
    return {
        "held_out_mse": round(float((out[:, :3].float() - noise.to(device)).square().mean()), 5)
    }


def attributes(scene: Scene) -> Tensor:
    """Return what a caption says of a scene as zeros and ones, (ATTRIBUTES,)."""
    said = {scene.family, *scene.colours, scene.time, scene.weather, scene.season, scene.medium}
    said.add(str(scene.count))
    return torch.tensor([float(name in said) for name in ATTRIBUTES])


def teach_words(network: Text2ImUNet, vocabulary: Tokenizer, steps: int, seed: int) -> None:
    """Teach the text transformer what captions say, before there are pictures.

    A linear layer, thrown away afterwards, reads the scene's attributes off the text's summary.
    Half a minute of this stands for an hour in which the pictures alone would have to teach words.
    """
    rng = np.random.default_rng((seed, 8))
    head = nn.Linear(network.transformer_proj.out_features, len(ATTRIBUTES))
    text = [p for name, p in network.named_parameters() if name.startswith(TEXT)]
    optimizer = torch.optim.AdamW([*text, *head.parameters()], 1e-3)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 1e-3 * min(1, (step + 1) / 50, 2 * (1 - step / steps))
        scenes = [scene_at(int(i)) for i in rng.integers(0, HELD_OUT, 48)]
        tokens, mask = tokenized([caption(scene, rng) for scene in scenes], vocabulary)
        said = head(F.layer_norm(network.encode_text(tokens, mask).proj, (head.in_features,)))
        target = torch.stack([attributes(scene) for scene in scenes])
        loss = F.binary_cross_entropy_with_logits(said, target)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(text, 1.0)
        optimizer.step()
        if step % 100 == 99:
            right = ((said > 0) == (target > 0.5)).all(1).float().mean()
            print(f"words: step {step + 1}, loss {loss:.4f}, all right {right:.2f}", flush=True)


def glide_options(tiny: bool, **options: Any) -> GlideOptions:
    """Return the options that both embedded GLIDE networks share, with others."""
    shared: dict[str, Any] = {
        "channels": 32, "res_blocks": 1, "channel_mult": (1, 1, 2, 4), "head_channels": 32,
        "text_ctx": TOKENS, "text_width": 128, "text_layers": 1, "text_heads": 4,
        "vocab": len(read_vocabulary().encoder), "groups": 8,
    }  # fmt: skip
    small = {"channels": 8, "channel_mult": (1, 2, 4, 4), "text_width": 32, "groups": 4}
    return GlideOptions(**(shared | options | (small if tiny else {})))


def pools(run: Run) -> list[Pool]:
    """Return the pools of pictures that the base is trained on."""
    return [Pool(run.pictures, 64, 6 if run.tiny else 40_000, first=2 if run.tiny else 2000)]


def job(run: Run, drawn: list[Pool]) -> Job:
    """Return how the base is trained."""
    (pool,) = drawn
    options = glide_options(
        run.tiny, image_size=64, attention_resolutions=(16, 8), text_layers=2, channels=64,
        channel_mult=(1, 1, 2, 2), groups=16,
    )  # fmt: skip
    network = Text2ImUNet(options)
    start_well(network)
    started = start_from(run, network, "base")
    if not started:
        start_with_noise_passed_on(network)
        teach_words(network, read_vocabulary(), 2 if run.tiny else WORD_STEPS, run.seed)
    network = on_device(network, run.device)
    fast, batch = compiled(network, run), run.batch(16, 256)
    shrinks = {1: Process(network.options.noise_schedule, run.device)}
    shrinks[2] = Process(network.options.noise_schedule, run.device, shrink=2)
    small = 0.0 if started else SMALL

    def make(rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        indices = pool.some(rng, (2 if small else 1) * batch, SHARES)
        return pool.crops(rng, indices, 64), *pool.texts(rng, indices, NO_CAPTION)

    stream = prepared(run, make, 1)

    def step(number: int, progress: float) -> tuple[Tensor, Figures]:
        shrink = 2 if progress < small else 1
        count = batch * shrink
        pictures, tokens, mask = (
            part[:count].to(run.device, non_blocking=True) for part in next(stream)
        )
        x0 = F.avg_pool2d(pictures.float() / 127.5 - 1, shrink)
        x0 = x0.contiguous(memory_format=torch.channels_last)
        times = times_for_layout(len(x0), run.device)
        noise = torch.randn_like(x0)
        xt = shrinks[shrink].noisy(x0, times, noise)
        with autocast(run.device, network.options.channels):
            out = fast(xt, times, tokens, mask)
        return shrinks[shrink].loss(out, x0, xt, noise, times)

    def evaluate(average: nn.Module) -> dict[str, float]:
        return denoising_figures(average, shrinks[1], 2 if run.tiny else 64)

    rate = 1e-3 if run.device == "cpu" else 1.5e-3
    return Job("base", "glide", network, rate, batch, step, evaluate, decay=0.999)
