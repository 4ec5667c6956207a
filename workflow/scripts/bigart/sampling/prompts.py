"""Prompts as a network reads them."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from bigart.errors import UserError
from bigart.networks.tokenizer import Tokenizer
from bigart.sampling.samplers import Text


class TextNetwork(Protocol):
    """What reading needs of a network: GLIDE's native one or the original."""

    options: Any

    def encode_text(self, tokens: Tensor, mask: Tensor) -> Any:
        """Run the text transformer on tokens (T, text_ctx) and their mask."""


class PromptReader:
    """Reads prompts for a network.

    Args:
        vocabulary: ``encoder.json`` of its tokenizer.
        merges: ``vocab.bpe`` of its tokenizer.
        network: Its text transformer is run.
        device: Where the network is.
        autocast: Gives the context in which the network runs.

    Raises:
        UserError: The vocabulary has another number of tokens than the network.
    """

    def __init__(
        self,
        vocabulary: Path | str,
        merges: Path | str,
        network: TextNetwork,
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
            return self.network.encode_text(tokens.to(self.device), mask.to(self.device))

    def cut(self, prompt: str) -> tuple[int, str]:
        """Return the number of a prompt's tokens, and the text of those that do not fit."""
        tokens = self.tokenizer.encode(prompt)
        return len(tokens), self.tokenizer.decode(tokens[self.length :]).strip()
