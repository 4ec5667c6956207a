"""What is done of a sampling that may be cut short, in a file from which it goes on.

On a CPU the published networks sample for hours. Noise belongs to a draw, so a state and its number
are enough: a run that goes on makes the pictures that it would have made.
"""

import hashlib
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil
import safetensors
import safetensors.torch
import torch

from bigart.pictures.images import Picture
from bigart.running import files
from bigart.sampling.samplers import State

log = logging.getLogger("bigart")

SAVE_EVERY_SECONDS = 60.0


class Unfinished:
    """The file of one stage and artwork.

    It is written once a minute, so that short runs leave none, and after an interruption. It holds
    the pictures of the candidates that are done and the state of those in progress.

    Where the stage's Snakemake is gone when it ends, nobody knows that its pictures are whole: they
    will be asked for again. Then it holds all of them, and that costs nothing.

    Args:
        path: The file. Where it cannot be written, a warning says so, and sampling goes on.
        key: Says what is sampled, down to the code (``stages.sampling_key``): a file with another
            key is of no use.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path, self.key = path, key
        self._saved = time.monotonic()

    def read(self, device: torch.device) -> tuple[list[Picture], State | None]:
        """Return what is done: pictures, uint8 (n, n, 3), and a state for the next candidates.

        Nothing is done where there is no file, or one with another key, or one that is damaged.
        """
        if not self.path.exists():
            return [], None
        try:
            with safetensors.safe_open(self.path, "pt", device=str(device)) as file:
                about = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, safetensors.SafetensorError):
            about, tensors = {}, {}
        if about and about.get("key") != self.key:
            log.info("%s was saved for something else: beginning anew", self.path)
            return [], None
        if about.get("sha256") != _sha256(tensors):
            log.warning("%s is damaged: beginning anew", self.path)
            return [], None
        pictures = [picture.cpu().numpy() for picture in tensors.get("pictures", ())]
        return pictures, State(int(tensors["step"]), tensors["x"], tensors.get("x0"))

    def save_if_due(self, pictures: Sequence[Picture], state: State) -> None:
        """Save, when the last time is a minute ago."""
        if time.monotonic() - self._saved >= SAVE_EVERY_SECONDS:
            self.save(pictures, state)

    def save(self, pictures: Sequence[Picture], state: State) -> None:
        """Write what is done, all of it or nothing.

        A state that a fault of the hardware has spoilt is not saved: it would spoil every next run.
        """
        if not torch.isfinite(state.x).all():
            return
        tensors = {"x": state.x.contiguous(), "step": torch.tensor(state.step)}
        if state.x0 is not None:
            tensors["x0"] = state.x0.clone()  # after the last step it is x itself
        if pictures:
            tensors["pictures"] = torch.from_numpy(np.stack(pictures))
        about = {"key": self.key, "sha256": _sha256(tensors)}
        try:
            with files.atomic(self.path) as temporary:
                temporary.write_bytes(safetensors.torch.save(tensors, about))
        except OSError as error:
            log.warning("cannot save the state of the sampling in %s: %s", self.path, error)
        self._saved = time.monotonic()

    def finish(self, pictures: Sequence[Picture]) -> None:
        """Remove the file, when all pictures are written; keep them in it for a run to come."""
        if not _is_awaited():
            self.save(pictures, State(0, torch.empty(0)))
            return
        self.path.unlink(missing_ok=True)
        files.remove_leftovers(self.path)


def _is_awaited() -> bool:
    """Return whether the Snakemake that started this process, if one did, still waits for it."""
    snakemake = os.environ.get("BIGART_SNAKEMAKE")
    # orphans get another parent
    return not snakemake or int(snakemake) in [p.pid for p in psutil.Process().parents()]


def _sha256(tensors: dict[str, torch.Tensor]) -> str:
    return hashlib.sha256(safetensors.torch.save(tensors)).hexdigest()
