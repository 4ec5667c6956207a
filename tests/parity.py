"""The networks on the inputs of the parity vectors (data/parity/README.md), on any device."""

import json
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bigart.networks.clip_options import ClipImageOptions, ClipTextOptions
from bigart.networks.clip_tokenizer import ClipTokenizer
from bigart.networks.native.clip import ClipImage, ClipText
from bigart.networks.native.glide.model import Text2ImUNet
from bigart.networks.native.rrdbnet import RRDBNet
from bigart.networks.native.vqgan import VQGAN
from bigart.networks.options import GlideOptions, RRDBNetOptions, VQGANOptions
from bigart.networks.tokenizer import Tokenizer

DATA = Path(__file__).parent / "data"
PARITY = DATA / "parity"
TOLERANCE = 1e-4

Filled = TypeVar("Filled", bound=nn.Module)
Compared = Iterator[tuple[str, Tensor, NDArray[Any]]]
"""What it is, ours, and what was recorded."""


def vectors() -> dict[str, dict[str, Any]]:
    """Return how each vector was made, by its name."""
    read: dict[str, dict[str, Any]] = json.loads((PARITY / "vectors.json").read_text())
    return read


def read_tokenizer() -> Tokenizer:
    """Return GPT-2's."""
    bpe = DATA / "gpt2-bpe"
    return Tokenizer.from_files(bpe / "encoder.json.gz", bpe / "vocab.bpe.gz")


def clip_tokenizer() -> ClipTokenizer:
    """Return CLIP's."""
    return ClipTokenizer.from_file(DATA / "clip-bpe/bpe_simple_vocab_16e6.txt.gz")


def normal(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return the noise of a name."""
    generator = np.random.RandomState(zlib.crc32(name.encode()))
    return generator.standard_normal(shape).astype(np.float32)


def uniform(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return the numbers in [0, 1) of a name."""
    generator = np.random.RandomState(zlib.crc32(name.encode()))
    return generator.rand(*shape).astype(np.float32)


def rule_weight(name: str, shape: tuple[int, ...], gain: float = 1.0) -> Tensor:
    """Return a parameter by the weight rule: its value follows from its name."""
    values = normal(name, shape)
    if name == "quantize.embedding.weight":
        return torch.from_numpy(values)
    if len(shape) >= 2:
        fan = 2500 if "embedding" in name else int(np.prod(shape[1:]))
        return torch.from_numpy((values * (gain / np.sqrt(fan))).astype(np.float32))
    if name.endswith(("weight", ".g")):
        return torch.from_numpy(1 + np.float32(0.1) * values)
    return torch.from_numpy(np.float32(0.05) * values)


def fill(network: Filled, gain: float = 1.0) -> Filled:
    """Give a network the weights of the rule."""
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    with ThreadPoolExecutor() as pool:
        weights = pool.map(lambda name: rule_weight(name, shapes[name], gain), shapes)
        network.load_state_dict(dict(zip(shapes, weights, strict=True)))
    return network.eval().requires_grad_(False)


def glide_options(recorded: dict[str, Any]) -> GlideOptions:
    """Return the options of a network that vectors.json records."""
    super_res = recorded["super_res"]
    return GlideOptions(
        image_size=recorded["image_size"],
        channels=recorded["num_channels"],
        res_blocks=recorded["num_res_blocks"],
        channel_mult=(1, 1, 2, 2, 4, 4) if super_res else (1, 2, 3, 4),
        head_channels=recorded["num_head_channels"],
        text_width=recorded["xf_width"],
        text_layers=recorded["xf_layers"],
        text_heads=recorded["xf_heads"],
        super_res=super_res,
        inpaint=recorded["inpaint"],
        noise_schedule=recorded["noise_schedule"],
    )


def glide(name: str, device: str = "cpu") -> Compared:
    """Compare what a GLIDE network reads of prompts, and predicts."""
    key, tokenizer = f"glide/{name}", read_tokenizer()
    vector = vectors().get(key) or guiding_vectors()[key]
    options = glide_options(vector["options"])
    batch, side = len(vector["prompts"]), options.image_size
    inputs: dict[str, NDArray[Any]] = {"x": normal(f"glide/{name}/x", (batch, 3, side, side))}
    if options.super_res:
        inputs["low_res"] = normal(f"glide/{name}/low_res", (batch, 3, 64, 64)).clip(-1, 1)
    if options.inpaint:
        kept = normal(f"glide/{name}/inpaint_image", (batch, 3, side, side)).clip(-1, 1)
        mask = normal(f"glide/{name}/inpaint_mask", (batch, 1, side, side)) > 0
        inputs |= {"inpaint_image": kept, "inpaint_mask": mask}
    read = [tokenizer.context(prompt, options.text_ctx) for prompt in vector["prompts"]]
    tokens, token_mask = (torch.cat(parts).to(device) for parts in zip(*read, strict=True))
    network = fill(Text2ImUNet(options)).to(device)

    recorded = np.load(PARITY / f"glide_{name}.npz")
    text = network.encode_text(tokens, token_mask)
    if "xf_proj" in recorded:  # not of the upsampler that inpaints, whose text is the other one's
        yield "text", text.proj, recorded["xf_proj"]
        yield "tokens", network.text_features(tokens, token_mask)[..., :16], recorded["xf_out"]
    times = torch.tensor(vector["timesteps"], device=device)
    arrays = {key: torch.from_numpy(value).to(device) for key, value in inputs.items()}
    y = network.denoise(timesteps=times, text=text, **arrays)
    step = 8 if options.super_res else 1
    yield "noise and variance", y[..., ::step, ::step], recorded["y"]


def clip_networks(name: str, device: str = "cpu") -> tuple[ClipText, ClipImage]:
    """Return both encoders of noised CLIP, in the size of a vector."""
    o = guiding_vectors()[f"clip/{name}"]["options"]
    text = ClipTextOptions(
        vocab=o["n_vocab"],
        text_ctx=o["max_text_len"],
        width=o["n_head_text"] * o["n_head_state"],
        layers=o["n_xf_blocks_text"],
        heads=o["n_head_text"],
        embedding=o["n_embd"],
    )
    image = ClipImageOptions(
        image_size=o["image_size"],
        patch_size=o["patch_size"],
        timesteps=o["n_timesteps"],
        width=o["n_head_image"] * o["n_head_state"],
        layers=o["n_xf_blocks_image"],
        heads=o["n_head_image"],
        embedding=o["n_embd"],
    )
    return fill(ClipText(text)).to(device), fill(ClipImage(image)).to(device)


def guiding_vectors() -> dict[str, dict[str, Any]]:
    """Return how each vector of CLIP was made, by its name."""
    read: dict[str, dict[str, Any]] = json.loads((PARITY / "vectors_guiding.json").read_text())
    return read


def clip(name: str, device: str = "cpu") -> Compared:
    """Compare the unit vectors of prompts and of noisy pictures."""
    vector, tokenizer = guiding_vectors()[f"clip/{name}"], clip_tokenizer()
    text, image = clip_networks(name, device)
    read = [tokenizer.context(prompt, text.options.text_ctx) for prompt in vector["prompts"]]
    tokens, lengths = (torch.tensor(part, device=device) for part in zip(*read, strict=True))
    recorded = np.load(PARITY / f"clip_{name}.npz")
    prompts = text.embed(tokens, lengths)
    yield "text", prompts, recorded["text"]
    side = image.options.image_size
    x = torch.from_numpy(normal(f"clip/{name}/x", (2, 3, side, side)).clip(-2, 2)).to(device)
    pictures = image.embed(x, torch.tensor(vector["timesteps"], device=device))
    yield "image", pictures, recorded["image"]
    yield "score", (prompts * pictures).sum(dim=1), recorded["score"]


def rrdbnet(name: str, device: str = "cpu") -> Compared:
    """Compare an enlargement of the whole frame, and one in strips."""
    vector = vectors()[f"bsrgan/{name}"]
    options = RRDBNetOptions(vector["sf"], vector["nf"], vector["nb"], vector["gc"])
    network = fill(RRDBNet(options), gain=vector["fill_gain"]).to(device)
    x = torch.from_numpy(uniform(f"bsrgan/{name}/x", (1, 3, vector["h"], vector["w"]))).to(device)
    recorded = np.load(PARITY / f"bsrgan_{name}.npz")["y"]
    step = vector["stored_step"]
    yield "whole", network(x)[..., ::step, ::step], recorded
    yield "strips", network.enlarge(x, strip=16)[..., ::step, ::step], recorded


def vqgan(name: str, device: str = "cpu") -> Compared:
    """Compare the codes of a picture, and the picture of the codes."""
    vector = vectors()[f"vqgan/{name}"]
    config = vector["ddconfig"]
    options = VQGANOptions(
        channels=config["ch"],
        channel_mult=tuple(config["ch_mult"]),
        res_blocks=config["num_res_blocks"],
        attention_resolutions=tuple(config["attn_resolutions"]),
        resolution=config["resolution"],
        z_channels=config["z_channels"],
        embed_dim=vector["embed_dim"],
        codes=vector["n_embed"],
    )
    network = fill(VQGAN(options)).to(device)
    x = normal(f"vqgan/{name}/x", (1, 3, vector["h"], vector["w"])).clip(-1, 1)
    recorded = np.load(PARITY / f"vqgan_{name}.npz")
    indices = network.indices(network.encode(torch.from_numpy(x).to(device)))
    yield "codes", indices.flatten(), recorded["indices"]
    step = vector["stored_step"]
    yield "picture", network.decode(indices)[..., ::step, ::step], recorded["y"]


#: Family -> how its vectors are compared, their names, and those of the published sizes.
FAMILIES: dict[str, tuple[Callable[..., Compared], list[str], list[str]]] = {
    "glide": (
        glide,
        ["base_small", "upsample_small", "base_inpaint_small", "upsample_inpaint_small"],
        ["base_full", "upsample_full"],
    ),
    "bsrgan": (rrdbnet, ["small_x4", "small_x2"], ["full_x4"]),
    "vqgan": (vqgan, ["small"], ["full_f16_16384"]),
    "clip": (clip, ["small"], ["full"]),
}
