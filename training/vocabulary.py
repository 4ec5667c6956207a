"""Make the embedded models' vocabulary: a small byte-level BPE over the painter's captions.

    python training/vocabulary.py

writes ``words.txt`` with the words of the captions, so that a prompt with another one can be warned
about; with ``--new`` also ``encoder.json`` and ``vocab.bpe`` in GPT-2's format. All 256 bytes are
tokens, so any text can be encoded; a word of the captions becomes one token. A word that the
grammar learned later takes a few tokens, so the trained networks keep their vocabulary.
"""

import argparse
import itertools
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np

import common  # noqa: F401  (finds the library)
from bigart.networks import tokenizer
from bigart.running.files import atomic
from painter import caption, sample_scene

END = "<|endoftext|>"

#: Words that say nothing of what is to be seen: no prompt is warned about for one of them.
FILLERS = (
    "the a an of and in on with at by from to for over under near behind before painting "
    "picture art style "
)
#: Words that people write in prompts though the grammar has no picture for them: they cost a few
#: tokens each instead of one per letter.
OTHER_WORDS = (
    "modern impressionist expressionist minimal vivid dark light soft warm "
    "cold old young big small beautiful corgi cat dog tabby wood shop traffic jam people "
    "house tree flower flowers garden river forest bridge boat ship beach desert island road "
    "street sky cloud sun moon star rain snow spring summer autumn winter gold silver "
)


def train(words: Counter[str], merges: int) -> list[tuple[str, str]]:
    """Return the merges of byte-pair encoding, most frequent first (Sennrich et al. 2016).

    Args:
        words: Count of each word, in the tokenizer's printable characters.
        merges: How many merges at most; fewer when no pair is left that occurs twice.
    """
    split = {word: list(word) for word in words}
    found: list[tuple[str, str]] = []
    while len(found) < merges:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, parts in split.items():
            for pair in itertools.pairwise(parts):
                pairs[pair] += words[word]
        if not pairs:
            break
        best, count = min(pairs.items(), key=lambda item: (-item[1], item[0]))
        if count < 2:
            break
        found.append(best)
        for parts in split.values():
            i = 0
            while i < len(parts) - 1:
                if (parts[i], parts[i + 1]) == best:
                    parts[i : i + 2] = ["".join(best)]
                i += 1
    return found


def words_of(captions: list[str]) -> Counter[str]:
    """Count the words of captions in the tokenizer's printable characters."""
    symbols = tokenizer.byte_symbols()
    counts: Counter[str] = Counter()
    for said in captions:
        for word in tokenizer._WORDS.findall(said.lower()):
            counts["".join(symbols[byte] for byte in word.encode())] += 1
    return counts


def write(folder: Path, merges: list[tuple[str, str]]) -> int:
    """Write the two files; return the number of tokens."""
    tokens = [*tokenizer.byte_symbols().values(), *("".join(pair) for pair in merges), END]
    encoder = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    with atomic(folder / "encoder.json") as path:
        path.write_text(json.dumps(encoder), encoding="utf-8")
    with atomic(folder / "vocab.bpe") as path:
        lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(encoder)


def main() -> None:
    """Train and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("models/embedded"))
    parser.add_argument(
        "--new", action="store_true", help="new tokens, too: both GLIDE networks begin from nothing"
    )
    parser.add_argument("--merges", type=int, default=1000)
    parser.add_argument("--captions", type=int, default=40_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    captions = [caption(sample_scene(rng, held_out=None), rng) for _ in range(arguments.captions)]
    words = {word for said in captions for word in re.findall(r"\w+", said)}
    with atomic(arguments.out / "words.txt") as path:
        known = sorted(words | set(FILLERS.split()))
        path.write_text("\n".join(known) + "\n", encoding="utf-8")
    captions += [f"{word} {word} {word}" for word in (FILLERS + OTHER_WORDS).split()]
    if arguments.new:
        size = write(arguments.out, train(words_of(captions), arguments.merges))
        print(f"{size} tokens in {arguments.out}")


if __name__ == "__main__":
    main()
