"""Byte-level byte-pair encoding, as GPT-2 and GLIDE use it.

Source: Radford et al., "Language Models are Unsupervised Multitask Learners" (2019), section 2.2,
and Sennrich et al. 2016 (arXiv:1508.07909). The vocabulary is two files in GPT-2's format:
``encoder.json`` (token -> id) and ``vocab.bpe`` (merges, most frequent first). GLIDE lower-cases
the prompt first.
"""

import gzip
import json
from itertools import pairwise
from pathlib import Path

import regex
import torch
from torch import Tensor

from bigart.errors import UserError

# GPT-2's words: contractions, letters, digits, other characters, each with one space before
_WORDS = regex.compile(r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")


def byte_symbols() -> dict[int, str]:
    """Return GPT-2's printable character for each of the 256 byte values.

    Printable Latin-1 bytes stand for themselves; the others get the characters from U+0100 on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {b: chr(256 + i) for i, b in enumerate(others)}


class Tokenizer:
    """Turns prompts into token ids.

    Args:
        encoder: Token (in GPT-2's printable characters) -> id.
        merges: Pairs of tokens to join, by descending priority.
    """

    def __init__(self, encoder: dict[str, int], merges: list[tuple[str, str]]) -> None:
        self.encoder = encoder
        self.ranks = {pair: rank for rank, pair in enumerate(merges)}
        self._symbols = byte_symbols()

    @classmethod
    def from_files(cls, encoder: Path | str, merges: Path | str) -> "Tokenizer":
        """Read ``encoder.json`` and ``vocab.bpe``, plain or gzipped.

        Raises:
            UserError: A file is missing or not of that format, or the two do not belong together.
        """
        try:
            table = dict(json.loads(_read_text(encoder)))
            lines = _read_text(merges).splitlines()
            words = (line.split(" ") for line in lines if line and not line.startswith("#version"))
            pairs = [(first, second) for first, second in words]
        except (OSError, ValueError, TypeError) as error:
            raise UserError(f"the vocabulary {encoder}, {merges} cannot be read: {error}") from None
        made = [*byte_symbols().values(), *(first + second for first, second in pairs)]
        if not table.keys() >= set(made):
            raise UserError(f"{encoder} lacks tokens of {merges}: they do not belong together")
        return cls(table, pairs)

    def encode(self, prompt: str) -> list[int]:
        """Return the token ids of the lower-cased prompt, of any length."""
        words = _WORDS.findall(prompt.lower())
        return [self.encoder[part] for word in words for part in self._parts(word)]

    def context(self, prompt: str, length: int) -> tuple[Tensor, Tensor]:
        """Return the input of the text transformer: the ids of one prompt, cut or padded.

        Returns:
            Ids (1, length), int64, 0 where there is no token, and mask (1, length), bool.
        """
        ids = self.encode(prompt)[:length]
        padding = length - len(ids)
        tokens = torch.tensor([ids + [0] * padding])
        return tokens, torch.tensor([[True] * len(ids) + [False] * padding])

    def decode(self, tokens: list[int]) -> str:
        """Return the text of token ids; bytes that are not UTF-8 become U+FFFD."""
        texts = {index: token for token, index in self.encoder.items()}
        values = {symbol: byte for byte, symbol in self._symbols.items()}
        text = "".join(texts[token] for token in tokens)
        return bytes(values[symbol] for symbol in text).decode("utf-8", errors="replace")

    def _parts(self, word: str) -> list[str]:
        """Join all occurrences of the pair with the lowest rank, until no pair has a rank."""
        parts = [self._symbols[byte] for byte in word.encode("utf-8")]
        never = len(self.ranks)
        while len(parts) > 1:
            best = min(pairwise(parts), key=lambda pair: self.ranks.get(pair, never))
            if best not in self.ranks:
                break
            joined: list[str] = []
            for part in parts:
                if joined and (joined[-1], part) == best:
                    joined[-1] += part
                else:
                    joined.append(part)
            parts = joined
        return parts


def _read_text(path: Path | str) -> str:
    content = Path(path).read_bytes()
    if content.startswith(b"\x1f\x8b"):
        content = gzip.decompress(content)
    return content.decode("utf-8")
