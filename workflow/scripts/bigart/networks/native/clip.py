"""Noised CLIP: how well a picture, noise and all, agrees with a prompt.

Source: Nichol et al., "GLIDE" (2021, arXiv:2112.10741), section 4.4 and appendix D; CLIP itself is
Radford et al. 2021 (arXiv:2103.00020). Both encoders are transformers that normalise first. The
image encoder has a token of the timestep where CLIP has that of the class. Module names are those
of the published checkpoints.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bigart.networks.clip_options import ClipImageOptions, ClipTextOptions
from bigart.networks.network import Network
from bigart.networks.options import PICTURE_CHANNELS

# of the pictures in CLIP's training, in levels of 255
MEANS = (122.77093945, 116.74601272, 104.09373519)
DEVIATIONS = (68.50053285, 66.63215831, 70.32316309)


class LayerNorm(nn.Module):
    """Normalisation of the channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.g = nn.Parameter(torch.ones(width))
        self.b = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., width) to the same shape."""
        return F.layer_norm(x, self.g.shape, self.g, self.b, eps=1e-5)


class Affine(nn.Module):
    """A linear layer."""

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.empty(outputs, inputs))
        nn.init.normal_(self.w, std=inputs**-0.5)
        self.b = nn.Parameter(torch.zeros(outputs)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., inputs) to (..., outputs)."""
        return F.linear(x, self.w, self.b)


class Attention(nn.Module):
    """Multi-head self-attention, added to its input."""

    def __init__(self, width: int, heads: int, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.ln = LayerNorm(width)
        self.f_q = Affine(width, width)
        self.f_k = Affine(width, width, bias=False)
        self.f_v = Affine(width, width)
        self.f_c = Affine(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, L, width) to the same shape."""
        batch, length, width = x.shape
        h = self.ln(x)
        q, k, v = (
            part(h).view(batch, length, self.heads, -1).transpose(1, 2)
            for part in (self.f_q, self.f_k, self.f_v)
        )
        h = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        return x + self.f_c(h.transpose(1, 2).reshape(batch, length, width))


class MLP(nn.Module):
    """Two layers with GELU between them, added to their input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.ln = LayerNorm(width)
        self.f_1 = Affine(width, 4 * width)
        self.f_2 = Affine(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, L, width) to the same shape."""
        return x + self.f_2(F.gelu(self.f_1(self.ln(x))))


class Block(nn.Module):
    """One layer of a transformer."""

    def __init__(self, width: int, heads: int, causal: bool) -> None:
        super().__init__()
        self.f_attn = Attention(width, heads, causal)
        self.f_mlp = MLP(width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, L, width) to the same shape."""
        x = self.f_attn(x)
        return self.f_mlp(x)


class TextInput(nn.Module):
    """Tokens and their places."""

    def __init__(self, options: ClipTextOptions) -> None:
        super().__init__()
        self.w_voc = nn.Parameter(torch.empty(options.vocab, options.width))
        self.w_pos = nn.Parameter(torch.empty(options.text_ctx, options.width))
        nn.init.normal_(self.w_voc, std=0.02)
        nn.init.normal_(self.w_pos, std=0.01)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (T, text_ctx) to (T, text_ctx, width)."""
        return F.embedding(tokens, self.w_voc) + self.w_pos


class ImageInput(nn.Module):
    """A token of the timestep, then the patches row by row, and their places."""

    def __init__(self, options: ClipImageOptions) -> None:
        super().__init__()
        patch, width = options.patch_size, options.width
        if options.image_size % patch:
            raise ValueError(f"image_size {options.image_size} is no multiple of {patch}")
        places = 1 + (options.image_size // patch) ** 2
        self.patch = patch
        self.w_t = nn.Parameter(torch.empty(options.timesteps, width))
        self.patch_proj = nn.Parameter(torch.empty(width, PICTURE_CHANNELS, patch, patch))
        self.w_pos = nn.Parameter(torch.empty(places, width))
        self.ln = LayerNorm(width)
        nn.init.normal_(self.w_t, std=width**-0.5)
        nn.init.normal_(self.patch_proj, std=(2 / (width * patch**2)) ** 0.5)
        nn.init.normal_(self.w_pos, std=width**-0.5)

    def forward(self, x: Tensor, timesteps: Tensor) -> Tensor:
        """Map (B, 3, n, n) about [-1, 1] and (B,) to (B, 1 + patches, width)."""
        means, deviations = (x.new_tensor(v).view(-1, 1, 1) for v in (MEANS, DEVIATIONS))
        x = ((x + 1) * 127.5 - means) / deviations
        patches = F.conv2d(x, self.patch_proj, stride=self.patch).flatten(2).transpose(1, 2)
        time = F.embedding(timesteps, self.w_t)[:, None]
        return self.ln(torch.cat([time, patches], dim=1) + self.w_pos)


class Output(nn.Module):
    """The vector of one token."""

    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        self.ln = LayerNorm(width)
        self.f = Affine(width, embedding, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, width) to (B, embedding) of length 1."""
        vector = self.f(self.ln(x))
        return vector / (vector.norm(dim=-1, keepdim=True) + 1e-12)


class ClipText(Network):
    """The text encoder."""

    architecture = "clip-text"
    Options = ClipTextOptions
    options: ClipTextOptions

    def __init__(self, options: ClipTextOptions) -> None:
        super().__init__(options)
        self.blocks = nn.ModuleDict({"input": TextInput(options)})
        for layer in range(options.layers):
            self.blocks[f"block_{layer}"] = Block(options.width, options.heads, causal=True)
        self.blocks["output"] = Output(options.width, options.embedding)

    def embed(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Return the unit vectors (T, embedding) of prompts.

        Args:
            tokens: (T, text_ctx), int64; what follows the end of a prompt has no effect.
            lengths: (T,), the number of tokens up to the end.
        """
        with torch.autocast(tokens.device.type, enabled=False):
            *layers, output = self.blocks.values()
            x = tokens
            for layer in layers:
                x = layer(x)
            last: Tensor = x[torch.arange(len(x), device=x.device), lengths - 1]
            vectors: Tensor = output(last)
        return vectors


class ClipImage(Network):
    """The image encoder, which knows how strong the noise is."""

    architecture = "clip-image"
    Options = ClipImageOptions
    options: ClipImageOptions

    def __init__(self, options: ClipImageOptions) -> None:
        super().__init__(options)
        self.blocks = nn.ModuleDict({"input": ImageInput(options)})
        for layer in range(options.layers):
            self.blocks[f"block_{layer}"] = Block(options.width, options.heads, causal=False)
        self.blocks["output"] = Output(options.width, options.embedding)

    def embed(self, x: Tensor, timesteps: Tensor) -> Tensor:
        """Return the unit vectors (B, embedding) of noisy pictures.

        Args:
            x: (B, 3, n, n), about [-1, 1] plus noise.
            timesteps: (B,), int64, of the 1000-step process; 0 is hardly any noise.
        """
        with torch.autocast(x.device.type, enabled=False):
            first, *layers, output = self.blocks.values()
            h = first(x.float(), timesteps)
            for layer in layers:
                h = layer(h)
            vectors: Tensor = output(h[:, 0])
        return vectors
