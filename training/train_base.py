"""Train the embedded base network: a caption to a 64 px picture.

    python training/train_base.py --minutes 180

Cosine schedule, learned variance, 15 % of the captions left out for guidance. It learns the words
first, then pictures of 32 px, where one costs a quarter, and 64 px at last.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import common  # noqa: F401  (finds the library)
from bigart.networks.glide.model import GlideOptions, Text2ImUNet
from bigart.networks.glide.tokenizer import Tokenizer
from common import (
    HELD_OUT,
    SHIPPED,
    Pool,
    autocast,
    batches,
    command,
    compiled,
    goes_on,
    held_out,
    parse,
    random_of,
    scene_at,
    train,
)
from diffusion_loss import Process
from painter import FAMILIES, Scene, caption
from painter.colours import NAMED
from painter.scene import MEDIA

NO_CAPTION = 0.15
#: Families whose outlines are hardest to learn; only a part of the others is trained on.
HARD = ("circles", "triangles")
EASY = 0.4
TIMES = ("dawn", "sunset", "night", "storm")
ATTRIBUTES = (*FAMILIES, *NAMED, *TIMES, *MEDIA, *"123456789")
#: The parts of the network that read the caption.
TEXT = ("transformer", "final_ln", "token_embedding", "positional_embedding", "padding_embedding")


def tokenized(captions: list[str], vocabulary: Tokenizer, length: int) -> tuple[Tensor, Tensor]:
    """Return tokens (B, length) int64 and mask (B, length); an empty caption is no token at all."""
    tokens, masks = zip(*(vocabulary.context(c, length) for c in captions), strict=True)
    return torch.cat(tokens), torch.cat(masks)


def caption_of(index: int, rng: np.random.Generator) -> str:
    """Return a caption of picture ``index``, or nothing, now and then."""
    return "" if rng.random() < NO_CAPTION else caption(scene_at(index), rng)


def read_vocabulary() -> Tokenizer:
    """Read the embedded vocabulary."""
    return Tokenizer.from_files(SHIPPED / "encoder.json", SHIPPED / "vocab.bpe")


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


def times_for_layout(batch: int) -> Tensor:
    """Return timesteps (batch,), most of them noisy, where a picture's subject is decided.

    The density rises as (1000 - t)^(-1/3): cleaning up the last of the noise is learned soon.
    """
    return (1000 * (1 - torch.rand(batch) ** 1.5)).long().clamp(0, 999)


def denoising_figures(network: nn.Module, process: Process, device: str) -> dict[str, float]:
    """Return the error in the noise on pictures never trained on, at fixed timesteps and noise."""
    assert isinstance(network, Text2ImUNet)
    vocabulary = read_vocabulary()
    rng, generator = np.random.default_rng(5), torch.Generator().manual_seed(5)
    count = 32
    x0 = held_out(count, network.options.image_size)
    captions = [caption(scene_at(HELD_OUT + i), rng) for i in range(count)]
    tokens, mask = tokenized(captions, vocabulary, network.options.text_ctx)
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
    said = {scene.family, *scene.colours, scene.time, scene.medium, str(scene.count)}
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
        tokens, mask = tokenized(
            [caption(scene, rng) for scene in scenes], vocabulary, network.options.text_ctx
        )
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


def main() -> None:
    """Train."""
    parser = command("base", minutes=180, rate=1e-3, batch=16)
    parser.add_argument("--word-steps", type=int, default=800, help="steps of text alone, first")
    parser.add_argument("--small", type=float, default=0.4, help="share of the run at 32 px")
    arguments = parse(parser)
    vocabulary = read_vocabulary()
    options = GlideOptions(
        image_size=64, channels=32, res_blocks=1, channel_mult=(1, 1, 2, 4), head_channels=32,
        attention_resolutions=(16, 8), text_ctx=64, text_width=128, text_layers=2, text_heads=4,
        vocab=len(vocabulary.encoder), groups=8,
    )  # fmt: skip
    network = Text2ImUNet(options)
    if not goes_on(arguments):
        start_well(network)
        start_with_noise_passed_on(network)
        teach_words(network, vocabulary, arguments.word_steps, arguments.seed)
    network = network.to(arguments.device)
    fast = compiled(network, arguments.device)
    shrinks = {1: Process(options.noise_schedule, arguments.device)}
    shrinks[2] = Process(options.noise_schedule, arguments.device, shrink=2)
    pool = Pool(64, arguments.pictures or 12_000, first=400)
    rng = random_of(arguments, 1)

    def taken(index: int) -> bool:
        return rng.random() < EASY or scene_at(index).family in HARD

    def make() -> tuple[Tensor, Tensor, Tensor]:
        pictures, indices = pool.crops(rng, 2 * arguments.batch, 64, taken)
        tokens, mask = tokenized(
            [caption_of(i, rng) for i in indices], vocabulary, options.text_ctx
        )
        return pictures, tokens, mask

    stream = batches(make)

    def step(number: int, progress: float) -> tuple[Tensor, dict[str, float]]:
        shrink = 2 if progress < arguments.small else 1
        count = arguments.batch * shrink
        pictures, tokens, mask = (part[:count].to(arguments.device) for part in next(stream))
        x0 = F.avg_pool2d(pictures.float() / 127.5 - 1, shrink)
        times = times_for_layout(len(x0)).to(x0.device)
        noise = torch.randn_like(x0)
        xt = shrinks[shrink].noisy(x0, times, noise)
        with autocast(arguments.device):
            out = fast(xt, times, tokens, mask)
        return shrinks[shrink].loss(out, x0, xt, noise, times)

    train(
        arguments, network, "glide", step,
        lambda average: denoising_figures(average, shrinks[1], arguments.device),
    )  # fmt: skip


if __name__ == "__main__":
    main()
