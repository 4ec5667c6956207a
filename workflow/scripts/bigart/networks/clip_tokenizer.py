"""Byte-pair encoding as CLIP uses it. Needs no torch.

Source: Radford et al. 2021 (arXiv:2103.00020), section 2.4, and Sennrich et al. 2016
(arXiv:1508.07909). The vocabulary is one file: merges, most frequent first, after a line with the
version. It has more merges than CLIP took. A token that ends a word ends in ``</w>``.
"""

import gzip
import html
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import regex

from bigart.errors import UserError

START, END = "<|startoftext|>", "<|endoftext|>"
MERGES = 49152 - 256 - 2
_END_OF_WORD = "</w>"
_WORDS = regex.compile(
    r"<\|startoftext\|>|<\|endoftext\|>|'(?:[stmd]|re|ve|ll)|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+",
    regex.IGNORECASE,
)
# the bytes with a character of their own first, as in GPT-2's vocabulary
_PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_OTHERS = [byte for byte in range(256) if byte not in _PRINTABLE]
_SYMBOLS = {byte: chr(byte) for byte in _PRINTABLE} | {
    byte: chr(256 + number) for number, byte in enumerate(_OTHERS)
}


class ClipTokenizer:
    """Turns prompts into CLIP's token ids.

    Attributes:
        marks: Tokens of its own that it adds to a prompt.

    Args:
        merges: Pairs of tokens to join, by descending priority.
    """

    marks = 2

    def __init__(self, merges: Sequence[tuple[str, str]]) -> None:
        symbols = list(_SYMBOLS.values())
        tokens = [*symbols, *(symbol + _END_OF_WORD for symbol in symbols)]
        tokens += [first + second for first, second in merges]
        tokens += [START, END]
        self.ids = {token: number for number, token in enumerate(tokens)}
        self.ranks = {pair: rank for rank, pair in enumerate(merges)}
        self._tokens = tokens

    @classmethod
    def from_file(cls, path: Path | str) -> "ClipTokenizer":
        """Read ``bpe_simple_vocab_16e6.txt``, plain or gzipped.

        Raises:
            UserError: The file is missing or not of that format.
        """
        try:
            content = Path(path).read_bytes()
            if content.startswith(b"\x1f\x8b"):
                content = gzip.decompress(content)
            lines = content.decode("utf-8").split("\n")[1 : MERGES + 1]
            merges = [(first, second) for first, second in (line.split() for line in lines)]
        except (OSError, EOFError, ValueError) as error:
            raise UserError(f"CLIP's vocabulary {path} cannot be read: {error}") from None
        if len(merges) != MERGES:
            raise UserError(f"CLIP's vocabulary {path} has {len(merges)} merges, not {MERGES}")
        return cls(merges)

    def encode(self, prompt: str) -> list[int]:
        """Return the token ids of a prompt, of any length, without start and end."""
        import ftfy  # which those have not who have no vocabulary of CLIP

        text = html.unescape(html.unescape(ftfy.fix_text(prompt)))
        text = regex.sub(r"\s+", " ", text.strip()).strip().lower()
        return [self.ids[part] for word in _WORDS.findall(text) for part in self._parts(word)]

    def context(self, prompt: str, length: int) -> tuple[list[int], int]:
        """Return the input of the text encoder: start, what fits of the prompt, end, and zeros.

        Returns:
            ``length`` ids, and the number of those up to the end.
        """
        ids = [self.ids[START], *self.encode(prompt)[: length - 2], self.ids[END]]
        return ids + [0] * (length - len(ids)), len(ids)

    def cut(self, prompt: str, length: int) -> tuple[int, str]:
        """Return the number of a prompt's tokens, and the text of those that do not fit."""
        ids = self.encode(prompt)
        return len(ids), self.decode(ids[length - 2 :]).strip()

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of token ids; bytes that are not UTF-8 become U+FFFD."""
        values = {symbol: byte for byte, symbol in _SYMBOLS.items()}
        words = "".join(self._tokens[number] for number in ids).split(_END_OF_WORD)
        texts = (bytes(values[symbol] for symbol in word) for word in words)
        return " ".join(text.decode("utf-8", errors="replace") for text in texts)

    def _parts(self, word: str) -> list[str]:
        """Join all occurrences of the pair with the lowest rank, until no pair has a rank."""
        if word in (START, END):
            return [word]
        parts = [_SYMBOLS[byte] for byte in word.encode("utf-8")]
        parts[-1] += _END_OF_WORD
        never = len(self.ranks)
        while len(parts) > 1:
            best = min(pairwise(parts), key=lambda pair: self.ranks.get(pair, never))
            if best not in self.ranks:
                break
            joined: list[str] = []
            place = 0
            while place < len(parts):
                found = tuple(parts[place : place + 2]) == best
                joined.append("".join(best) if found else parts[place])
                place += 2 if found else 1
            parts = joined
        return parts
