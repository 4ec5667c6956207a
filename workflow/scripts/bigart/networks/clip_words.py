"""Prompts as the text encoder of a small CLIP reads them: in GLIDE's vocabulary, not CLIP's own.

A set that has a judge and no vocabulary of CLIP has one of this kind. Needs no ftfy.
"""

from bigart.networks.tokenizer import Tokenizer

END = "<|endoftext|>"


class ClipWords:
    """Turns prompts into token ids, as ``ClipTokenizer`` does, but without a token of the start.

    Attributes:
        marks: Tokens of its own that it adds to a prompt.

    Args:
        vocabulary: GLIDE's; must have a token of the end.
    """

    marks = 1

    def __init__(self, vocabulary: Tokenizer) -> None:
        self.vocabulary, self.ids = vocabulary, vocabulary.encoder

    def context(self, prompt: str, length: int) -> tuple[list[int], int]:
        """Return the input of the text encoder: what fits of the prompt, the end, and zeros.

        Returns:
            ``length`` ids, and the number of those up to the end.
        """
        ids = [*self.vocabulary.encode(prompt)[: length - 1], self.ids[END]]
        return ids + [0] * (length - len(ids)), len(ids)

    def cut(self, prompt: str, length: int) -> tuple[int, str]:
        """Return the number of a prompt's tokens, and the text of those that do not fit."""
        ids = self.vocabulary.encode(prompt)
        return len(ids), self.vocabulary.decode(ids[length - 1 :]).strip()
