"""Byte-level byte-pair encoding, as GPT-2 and GLIDE use it.

Source: Radford et al., "Language Models are Unsupervised Multitask Learners" (2019), section 2.2,
and Sennrich et al. 2016 (arXiv:1508.07909). The vocabulary is two files in GPT-2's format:
``encoder.json`` (token -> id) and ``vocab.bpe`` (merges, most frequent first). GLIDE lower-cases
the prompt first.
"""

import gzip
import json
from functools import cached_property
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
    symbols = {byte: chr(byte) for byte in printable}
    for byte in range(256):
        if byte not in symbols:
            symbols[byte] = chr(256 + len(symbols) - len(printable))
    return symbols


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
        self._words: dict[str, list[int]] = {}

    @classmethod
    def from_files(cls, encoder: Path | str, merges: Path | str) -> "Tokenizer":
        """Read ``encoder.json`` and ``vocab.bpe``, plain or gzipped.

        Raises:
            UserError: A file is missing or not of that format.
        """
        try:
            table = json.loads(_read_text(encoder))
            lines = _read_text(merges).splitlines()
            pairs = [_pair(line) for line in lines if line and not line.startswith("#version")]
        except (OSError, ValueError) as error:
            raise UserError(f"the vocabulary {encoder}, {merges} cannot be read: {error}") from None
        if not isinstance(table, dict) or not all(isinstance(i, int) for i in table.values()):
            raise UserError(f"{encoder} is not a table of tokens and their ids")
        missing = [symbol for symbol in byte_symbols().values() if symbol not in table]
        missing += ["".join(pair) for pair in pairs if "".join(pair) not in table]
        if missing:
            raise UserError(
                f"{encoder} lacks {len(missing)} tokens that {merges} can make, "
                f"the first is {missing[0]!r}: the two files do not belong together"
            )
        return cls(table, pairs)

    @cached_property
    def _decoder(self) -> dict[int, str]:
        return {index: token for token, index in self.encoder.items()}

    def encode(self, prompt: str) -> list[int]:
        """Return the token ids of the lower-cased prompt, of any length."""
        return [index for word in _WORDS.findall(prompt.lower()) for index in self._word(word)]

    def context(self, prompt: str, length: int) -> tuple[Tensor, Tensor]:
        """Return the input of the text transformer: the ids of one prompt, cut or padded.

        Args:
            prompt: Any text.
            length: Tokens of the network's context; the tokens beyond are cut.

        Returns:
            Ids (1, length), int64, 0 where there is no token, and mask (1, length), bool.
        """
        ids = self.encode(prompt)[:length]
        padding = length - len(ids)
        tokens = torch.tensor([ids + [0] * padding])
        return tokens, torch.tensor([[True] * len(ids) + [False] * padding])

    def decode(self, tokens: list[int]) -> str:
        """Return the text of token ids; bytes that are not UTF-8 become U+FFFD."""
        values = {symbol: byte for byte, symbol in self._symbols.items()}
        text = "".join(self._decoder[token] for token in tokens)
        return bytes(values[symbol] for symbol in text).decode("utf-8", errors="replace")

    def _word(self, word: str) -> list[int]:
        if word not in self._words:
            parts = [self._symbols[byte] for byte in word.encode("utf-8")]
            self._words[word] = [self.encoder[part] for part in self._merged(parts)]
        return self._words[word]

    def _merged(self, parts: list[str]) -> list[str]:
        """Join all occurrences of the pair with the lowest rank, until no pair has a rank."""
        never = len(self.ranks)
        while len(parts) > 1:
            best = min(pairwise(parts), key=lambda p: self.ranks.get(p, never))
            if best not in self.ranks:
                break
            joined: list[str] = []
            i = 0
            while i < len(parts):
                if i + 1 < len(parts) and (parts[i], parts[i + 1]) == best:
                    joined.append(parts[i] + parts[i + 1])
                    i += 2
                else:
                    joined.append(parts[i])
                    i += 1
            parts = joined
        return parts


def _read_text(path: Path | str) -> str:
    content = Path(path).read_bytes()
    if content.startswith(b"\x1f\x8b"):
        content = gzip.decompress(content)
    return content.decode("utf-8")


def _pair(line: str) -> tuple[str, str]:
    first, second = line.split(" ")
    return first, second
