"""Which network a checkpoint holds, by the names and shapes of its tensors. Needs no torch.

A network may lie under any prefix, and in any dictionaries, which are prefixes as well
(``contents.flat``). It is found by names that only its architecture has, and brought to the
published names.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

from bigart.errors import UserError, show
from bigart.networks.clip_options import HEAD_WIDTH, ClipImageOptions, ClipTextOptions
from bigart.networks.options import (
    BASE,
    PICTURE_CHANNELS,
    UPSAMPLER,
    GlideOptions,
    RRDBNetOptions,
    VQGANOptions,
    published_name,
)
from bigart.networks.srvggnet_options import SRVGGNetOptions
from bigart.weights.forms import UNSHUFFLED, WORDS

Options = (
    GlideOptions
    | RRDBNetOptions
    | SRVGGNetOptions
    | VQGANOptions
    | ClipTextOptions
    | ClipImageOptions
)

# What torch.compile, DataParallel, FSDP and activation checkpointing put into names
_WRAPPER = r"(?:_orig_mod|module|_fsdp_wrapped_module|_checkpoint_wrapped_module)\."
_WRAPPERS = re.compile(rf"(?<![^.]){_WRAPPER}")
# Architecture -> how names begin that only one such network has
_ANCHORS = {
    family: re.compile("|".join(rf"(?<![^.]){name}" for name in names))
    for family, names in {
        "glide": [r"transformer_proj\."],
        "rrdbnet": [
            rf"RRDB_trunk\.(?:{_WRAPPER})*0\.",
            rf"body\.(?:{_WRAPPER})*0\.(?:{_WRAPPER})*rdb1\.",
            r"model\.1\.sub\.0\.RDB1\.",
        ],
        "srvggnet": [rf"body\.(?:{_WRAPPER})*0\.weight$"],
        "vqgan": [rf"quantize\.(?:{_WRAPPER})*embedding\."],
        "clip-text": [rf"blocks\.(?:{_WRAPPER})*input\.(?:{_WRAPPER})*w_voc$"],
        "clip-image": [rf"blocks\.(?:{_WRAPPER})*input\.(?:{_WRAPPER})*patch_proj$"],
    }.items()
}
_EMA = re.compile(r"(?<![a-z])(ema|averaged?|avg|swa|shadow)(?![a-z])", re.IGNORECASE)
# Beside the codebook: what its training counted, and which codes a transformer used ("remap"). A
# picture needs neither: it is made of the codes themselves.
_NO_CODEBOOK = re.compile(
    r"quantize\.(embedding\.)?"
    r"(cluster_size|embed_avg|embedding_avg|ema_\w+|initted|used|codebook_used)"
)
# How the names of other networks begin that people have, and what these are
_OTHERS = [
    (re.compile(rf"(?<![^.])(?:{name})"), words)
    for name, words in (
        (r"lora_|hada_w1|lokr_w1", "a LoRA"),
        (r"control_model\.|controlnet_", "a ControlNet"),
        (r"conditioner\.embedders\.", "a Stable Diffusion XL checkpoint"),
        (r"double_blocks\.0\.|(joint_|transformer_)blocks\.0\.", "a Flux or Stable Diffusion 3"),
        (r"model\.diffusion_model\.", "a Stable Diffusion checkpoint"),
        (r"down_blocks\.0\.", "a part of a Stable Diffusion in the form of diffusers"),
        (r"input_blocks\.0\.0\.", "a diffusion network without GLIDE's text transformer"),
        (r"quantize\.embed\.weight$", "a VQGAN with Gumbel quantisation"),
        (r"quantize\.(embed$|_?codebook|_embedding|layers\.0\.)", "a VQGAN with another codebook"),
        (r"quantize_[tb]\.", "a VQ-VAE-2"),
        (r"quant_conv\.", "an autoencoder without a codebook (KL)"),
        (r"visual\.(conv1|transformer|layer1)\.|text_model\.", "a CLIP network"),
        (r"(model\.1\.sub|body)\.0\.\w+\.conv1", "an RRDBNet of another form"),
        (r"stylegan_decoder\.", "a GFPGAN"),
        (r"patch_embed\.|layers\.0\.residual_group\.", "a transformer (SwinIR, HAT, DAT)"),
        (r"unet1\.conv1\.", "a Real-CUGAN"),
        (
            r"net_?D\.|disc(riminator)?\.|conv0_0\.|main\.0\.|[\w.]+\.weight_orig$",
            "a discriminator",
        ),
        (r"features\.0\.|layer1\.0\.conv1\.", "an image classifier (VGG, ResNet)"),
        (r"(exp_avg|exp_avg_sq|momentum_buffer)$", "the state of an optimizer"),
    )
]


class Shaped(Protocol):
    """What has a shape: a tensor, or what stands for it."""

    @property
    def shape(self) -> Sequence[int]:
        """The sizes of its dimensions."""


T = TypeVar("T", bound=Shaped)
_State = Mapping[str, Shaped]


@dataclass(frozen=True)
class Recognised(Generic[T]):
    """A network in a file.

    Attributes:
        state: Its tensors, or what stands for them, under the published names.
        architecture: A key of ``forms.WORDS``.
        options: The stated ones, and the rest from the shapes.
    """

    state: dict[str, T]
    architecture: str
    options: Options


def recognise(
    found: Mapping[str, T], architecture: str, stated: Mapping[str, Any] | None = None
) -> Recognised[T]:
    """Find a network of an architecture among the tensors of a file.

    A VQGAN's training resolution is taken as 256: it only says where attention is, which the shapes
    tell. Heads of GLIDE and CLIP leave no trace: what is not stated is as published.

    Args:
        found: The tensors, by their names in the file.
        architecture: "glide", "rrdbnet" (also with pixel-unshuffle), "srvggnet", "vqgan",
            "clip-text" or "clip-image".
        stated: Options that are known besides.

    Raises:
        UserError: It is another network, one of several, or lacks what the options are read from;
            or the shapes say something else than what is stated.
    """
    state = _network(found, architecture)
    if architecture == "glide":
        options, told = _glide_options(state)
    elif architecture == "vqgan":
        state = _picture_part(state)
        options, told = _vqgan_options(state)
    elif architecture == "clip-text":
        options, told = _clip_text_options(state)
    elif architecture == "clip-image":
        options, told = _clip_image_options(state)
    elif architecture == "srvggnet":
        options, told = _srvggnet_options(state)
    else:
        state = _bsrgan_names(state)
        options, told = _rrdbnet_options(state)
        if _shape(state, "conv_first.weight", 4)[1] > PICTURE_CHANNELS:
            architecture = UNSHUFFLED
    values: Any = {k: tuple(v) if isinstance(v, list) else v for k, v in (stated or {}).items()}
    for name in told:
        if values.get(name, told[name]) != told[name]:
            raise UserError(
                f"its options state {name} {show(values[name])}, and the shapes of its tensors say "
                f"{name} {show(told[name])}"
            )
    return Recognised(state, architecture, replace(options, **values))


def _network(found: Mapping[str, T], family: str) -> dict[str, T]:
    """Return the tensors of the one network of that family, without what stands before its names.

    Of several the moving average (EMA) is taken, if there is one.
    """
    anchor = _ANCHORS[family]
    prefixes = {name[: place.start()] for name in found if (place := anchor.search(name))}
    # the picture's network is one, and that of a transformer's condition another
    prefixes = {prefix for prefix in prefixes if "cond_stage_model" not in prefix}
    if not prefixes:
        raise UserError(_something_else(found, family))
    if len(prefixes) > 1:
        prefixes = {prefix for prefix in prefixes if _EMA.search(prefix)} or prefixes
    if len(prefixes) > 1:
        names = ", ".join(show(prefix) for prefix in sorted(prefixes)[:5])
        raise UserError(f"it holds several networks, under {names}: save one of them alone")
    [prefix] = prefixes
    # latent diffusion's EMA has names without dots
    averages = {name.rpartition("model_ema.")[2]: name for name in found if "model_ema." in name}
    state: dict[str, T] = {}
    for name, tensor in found.items():
        if name.startswith(prefix) and not name.startswith(f"{prefix}model_ema."):
            short = _WRAPPERS.sub("", name[len(prefix) :])
            if short in state:
                raise UserError(f"it holds {show(short)} twice, once in a wrapper of training")
            average = averages.get(short.replace(".", ""))
            state[short] = found[average] if average else tensor
    return state


def _something_else(found: Iterable[str], family: str) -> str:
    """Return what a file holds that is no network of the family."""
    names = list(found)
    for other, anchor in _ANCHORS.items():
        if any(map(anchor.search, names)):
            upscalers = {other, family} == {"rrdbnet", "srvggnet"}
            hint = f": let its `architecture` be {other}" if upscalers else ""
            return f"this is {WORDS[other]}, not {WORDS[family]}{hint}"
    kinds = (words for pattern, words in _OTHERS if any(map(pattern.search, names)))
    some = ", ".join(show(name)[1:-1] for name in names[:3])
    kind = next(kinds, f"an unknown network ({some}, ...)")
    return f"this is {kind}, which is not supported; {WORDS[family]} is needed"


def _picture_part(state: Mapping[str, T]) -> dict[str, T]:
    """Return a VQGAN without discriminator, loss and what its codebook's training counted."""
    if not any(name.startswith("encoder.down.0.") for name in state):
        some = [name for name in state if name.startswith("encoder.")]
        if some:
            raise UserError(
                f"this has a codebook and another encoder than a VQGAN's ({show(some[0])}, ...; "
                f"CodeFormer? LlamaGen?), which is not supported; {WORDS['vqgan']} is needed"
            )
    kept = ("encoder.", "decoder.", "quantize.", "quant_conv.", "post_quant_conv.")
    return {
        name: tensor
        for name, tensor in state.items()
        if name.startswith(kept) and not _NO_CODEBOOK.fullmatch(name)
    }


def _bsrgan_names(state: Mapping[str, T]) -> dict[str, T]:
    """Give an RRDBNet the names that BSRGAN has.

    Others are those of later ESRGAN trainers (``body.0.rdb1.conv1``), and those of the first ESRGAN
    (``model.1.sub.0...``).
    """
    if not any(name.startswith("model.1.sub.0.RDB1.") for name in state):
        return {published_name(name): tensor for name, tensor in state.items()}
    found = (re.fullmatch(r"model\.(\d{1,4})\.\w+", name) for name in state)
    places = sorted({place[1] for place in found if place}, key=int)
    upconvs = (f"upconv{number}" for number in range(1, len(places) - 2))
    tail = ("conv_first", *upconvs, "HRconv", "conv_last")
    modules = dict(zip(places, tail, strict=False))
    return {_from_first_name(name, modules): tensor for name, tensor in state.items()}


def _from_first_name(name: str, modules: Mapping[str, str]) -> str:
    block = r"model\.1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0\.(?=\w+$)"
    name = re.sub(block, r"RRDB_trunk.\1.RDB\2.conv\3.", name)
    name = re.sub(r"model\.1\.sub\.\d+\.(?=\w+$)", "trunk_conv.", name)
    place = re.match(r"model\.(\d+)\.(?=\w+$)", name)
    return f"{modules[place[1]]}.{name[place.end() :]}" if place and place[1] in modules else name


def _glide_options(state: _State) -> tuple[Options, dict[str, Any]]:
    # 3, and 3 or 4 more for each extra
    inputs = _shape(state, "input_blocks.0.0.weight", 4)[1]
    told: dict[str, Any] = {"super_res": inputs in (6, 10), "inpaint": inputs in (7, 10)}
    return replace(UPSAMPLER if told["super_res"] else BASE, **told), told


def _rrdbnet_options(state: _State) -> tuple[Options, dict[str, Any]]:
    features, inputs = _shape(state, "conv_first.weight", 4)[:2]
    doublings = max(
        (int(n[1]) for name in state if (n := re.fullmatch(r"upconv(\d)\.weight", name))), default=0
    )
    side = math.isqrt(inputs // PICTURE_CHANNELS)  # of the blocks of pixels that are channels
    if not side or PICTURE_CHANNELS * side**2 != inputs:
        raise UserError(
            f"this RRDBNet reads pictures of {inputs} channels; allowed: 3 (RGB), or 12 as in "
            "RealESRGAN_x2plus"
        )
    scale = 2**doublings / side
    if (side, doublings) not in ((1, 1), (1, 2), (2, 2)):
        raise UserError(f"this RRDBNet enlarges {scale:g} times; allowed: 4 times or 2 times")
    told: dict[str, Any] = {
        "scale": int(scale),
        "features": features,
        "blocks": _count(state, r"RRDB_trunk\.(\d{1,4})\."),
        "growth": _shape(state, "RRDB_trunk.0.RDB1.conv1.weight", 4)[0],
    }
    return RRDBNetOptions(**told), told


def _srvggnet_options(state: _State) -> tuple[Options, dict[str, Any]]:
    numbers = (re.match(r"body\.(\d{1,4})\.", name) for name in state)
    last = max(int(found[1]) for found in numbers if found)
    features, inputs = _shape(state, "body.0.weight", 4)[:2]
    pixels = _shape(state, f"body.{last}.weight", 4)[0]
    scale = math.isqrt(pixels // PICTURE_CHANNELS)
    if inputs != PICTURE_CHANNELS or pixels != PICTURE_CHANNELS * scale**2:
        raise UserError(
            f"this compact Real-ESRGAN maps {inputs} channels to {pixels}; allowed: pictures of 3 "
            "(RGB) to 48 or 12, which are 4 x 4 or 2 x 2 pixels"
        )
    if scale not in (2, 4):
        raise UserError(
            f"this compact Real-ESRGAN enlarges {scale} times; allowed: 4 times or 2 times"
        )
    told = {"scale": scale, "features": features, "convolutions": last // 2 - 1}
    return SRVGGNetOptions(**told), told


def _vqgan_options(state: _State) -> tuple[Options, dict[str, Any]]:
    channels = _shape(state, "encoder.conv_in.weight", 4)[0]
    levels = range(_count(state, r"encoder\.down\.(\d{1,4})\."))
    widths = [_shape(state, f"encoder.down.{i}.block.0.conv1.weight", 4)[0] for i in levels]
    codes, embed_dim = _shape(state, "quantize.embedding.weight", 2)
    told: dict[str, Any] = {
        "channels": channels,
        "channel_mult": tuple(width // channels for width in widths),
        "res_blocks": _count(state, r"encoder\.down\.0\.block\.(\d{1,4})\."),
        "z_channels": _shape(state, "encoder.conv_out.weight", 4)[0],
        "embed_dim": embed_dim,
        "codes": codes,
    }
    attention = (
        VQGANOptions.resolution >> i for i in levels if f"encoder.down.{i}.attn.0.q.weight" in state
    )
    return VQGANOptions(**told, attention_resolutions=tuple(attention)), told


def _clip_text_options(state: _State) -> tuple[Options, dict[str, Any]]:
    vocab, width = _shape(state, "blocks.input.w_voc", 2)
    told: dict[str, Any] = {
        "vocab": vocab,
        "text_ctx": _shape(state, "blocks.input.w_pos", 2)[0],
        **_clip_transformer(state, width),
    }
    return ClipTextOptions(**told, heads=_clip_heads(width)), told


def _clip_image_options(state: _State) -> tuple[Options, dict[str, Any]]:
    width, _, patch, _ = _shape(state, "blocks.input.patch_proj", 4)
    patches = _shape(state, "blocks.input.w_pos", 2)[0] - 1
    told: dict[str, Any] = {
        "image_size": patch * math.isqrt(patches),
        "patch_size": patch,
        "timesteps": _shape(state, "blocks.input.w_t", 2)[0],
        **_clip_transformer(state, width),
    }
    return ClipImageOptions(**told, heads=_clip_heads(width)), told


def _clip_transformer(state: _State, width: int) -> dict[str, Any]:
    return {
        "width": width,
        "layers": _count(state, r"blocks\.block_(\d{1,4})\."),
        "embedding": _shape(state, "blocks.output.f.w", 2)[0],
    }


def _clip_heads(width: int) -> int:
    return max(1, width // HEAD_WIDTH)


def _shape(state: _State, name: str, dimensions: int) -> tuple[int, ...]:
    if name not in state:
        raise UserError(f"incomplete or damaged: {name} is missing")
    shape = tuple(state[name].shape)
    if len(shape) != dimensions or min(shape) < 1:
        raise UserError(f"incomplete or damaged: {name} has the shape {list(shape)}")
    return shape


def _count(state: Iterable[str], pattern: str) -> int:
    """Return how many numbers the names carry, at least 1; ``verify`` finds holes."""
    return max(1, len({found[1] for name in state if (found := re.match(pattern, name))}))
