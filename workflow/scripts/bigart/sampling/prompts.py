"""Prompts as a network reads them."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from bigart.errors import UserError
from bigart.networks.tokenizer import Tokenizer
from bigart.sampling.samplers import Text


class PromptReader:
    """Reads prompts for a network.

    Args:
        vocabulary: ``encoder.json`` of its tokenizer.
        merges: ``vocab.bpe`` of its tokenizer.
        network: GLIDE's native network or the original.
        device: Where it is.
        autocast: Gives the context in which it runs.

    Raises:
        UserError: The vocabulary has another number of tokens than the network.
    """

    def __init__(
        self,
        vocabulary: Path | str,
        merges: Path | str,
        network: Any,
        device: torch.device,
        autocast: Callable[[], contextlib.AbstractContextManager[object]],
    ) -> None:
        self.tokenizer = Tokenizer.from_files(vocabulary, merges)
        self.network, self.device, self.autocast = network, device, autocast
        self.length: int = network.options.text_ctx
        if len(self.tokenizer.encoder) != network.options.vocab:
            raise UserError(
                f"{vocabulary} has {len(self.tokenizer.encoder)} tokens and the model knows "
                f"{network.options.vocab}: they do not belong together"
            )

    def read(self, prompt: str) -> Text:
        """Run the text transformer on one prompt, without the tokens that do not fit."""
        tokens, mask = self.tokenizer.context(prompt, self.length)
        with self.autocast():
            text: Text = self.network.encode_text(tokens.to(self.device), mask.to(self.device))
        return text

    def cut(self, prompt: str) -> tuple[int, str]:
        """Return the number of a prompt's tokens, and the text of those that do not fit."""
        tokens = self.tokenizer.encode(prompt)
        return len(tokens), self.tokenizer.decode(tokens[self.length :]).strip()
