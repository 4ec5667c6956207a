"""GLIDE's text transformer: pre-norm, full (not causal) attention, no mask.

Source: GLIDE (2021, arXiv:2112.10741, section 4.1); the layers are those of Vaswani et al. 2017
with GELU and the normalisation first. Padding is marked by a learned embedding per position, not
by masking the attention. Module names are those of the published checkpoints.
"""

from collections import OrderedDict

import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """Multi-head self-attention with one projection for queries, keys and values."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.c_qkv = nn.Linear(width, 3 * width)
        self.c_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, L, width) to (B, L, width)."""
        batch, length, _ = x.shape
        per_head = self.c_qkv(x).view(batch, length, self.heads, -1).transpose(1, 2)
        q, k, v = per_head.chunk(3, dim=3)
        h = F.scaled_dot_product_attention(q, k, v)
        return self.c_proj(h.transpose(1, 2).reshape(batch, length, -1))


class Block(nn.Module):
    """One layer: attention and MLP, each added to its input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attn = Attention(width, heads)
        self.ln_1 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            OrderedDict(
                c_fc=nn.Linear(width, 4 * width),
                gelu=nn.GELU(),
                c_proj=nn.Linear(4 * width, width),
            )
        )
        self.ln_2 = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, L, width) to (B, L, width)."""
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class Transformer(nn.Module):
    """A stack of blocks."""

    def __init__(self, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.resblocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, L, width) to (B, L, width)."""
        return self.resblocks(x)
