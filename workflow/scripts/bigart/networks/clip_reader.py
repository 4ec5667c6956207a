"""What reads prompts for noised CLIP: CLIP's own tokenizer, or that of the set."""

from pathlib import Path

from bigart.errors import UserError
from bigart.networks.clip_tokenizer import ClipTokenizer
from bigart.networks.clip_words import END, ClipWords
from bigart.networks.tokenizer import Tokenizer


def clip_reader(
    clip_vocabulary: Path | str | None, vocabulary: Path | str, merges: Path | str
) -> ClipTokenizer | ClipWords:
    """Return the tokenizer of a text encoder; both kinds have the same methods.

    Args:
        clip_vocabulary: ``bpe_simple_vocab_16e6.txt``, or None where the set's own files serve.
        vocabulary: ``encoder.json`` of the set.
        merges: ``vocab.bpe`` of the set.

    Raises:
        UserError: A file is missing or of another kind.
    """
    if clip_vocabulary:
        return ClipTokenizer.from_file(clip_vocabulary)
    words = Tokenizer.from_files(vocabulary, merges)
    if END not in words.encoder:
        raise UserError(f"{vocabulary} has no token {END}, which this text encoder needs")
    return ClipWords(words)
