"""Saved states of a sampling, from which an interrupted run resumes.

On a CPU the published networks sample for hours. Noise belongs to a draw, so a state and its number
are enough: a resumed run makes the same pictures as an uninterrupted one.
"""

import contextlib
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


class SavedSampling:
    """The saved state of one stage and artwork, in a file.

    The file is written once a minute, so that short runs leave none, and after an interruption. It
    holds the pictures of the finished candidates and the state of those in progress.

    Args:
        path: The file. If it cannot be written, a warning says so, and sampling continues.
        key: Says what is sampled, down to the code (``sampling_command.sampling_key``). A file with
            another key is ignored.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path, self.key = path, key
        self._saved = time.monotonic()

    def read(self, device: torch.device) -> tuple[list[Picture], State | None]:
        """Return the finished pictures, uint8 (n, n, 3), and the state of the next candidates.

        Both are empty if there is no file, or if its key is another one, or if it is damaged.
        """
        if not self.path.exists():
            return [], None
        about: dict[str, str] = {}
        tensors: dict[str, torch.Tensor] = {}
        with (
            contextlib.suppress(OSError, safetensors.SafetensorError),
            safetensors.safe_open(self.path, "pt", device=str(device)) as file,
        ):
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if about.get("key", self.key) != self.key:
            log.info("%s was saved for another sampling: starting again", self.path)
            return [], None
        if about.get("sha256") != _sha256(tensors):
            log.warning("%s is damaged: starting again", self.path)
            return [], None
        pictures = [picture.cpu().numpy() for picture in tensors.get("pictures", ())]
        return pictures, State(int(tensors["step"]), tensors["x"], tensors.get("x0"))

    def save_if_due(self, pictures: Sequence[Picture], state: State) -> None:
        """Save if the last save is a minute old."""
        if time.monotonic() - self._saved >= SAVE_EVERY_SECONDS:
            self.save(pictures, state)

    def save(self, pictures: Sequence[Picture], state: State) -> None:
        """Write pictures and state, whole or not at all.

        A state with NaN or infinities is not saved: it would spoil every later run.
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
        """Remove the file once all pictures are written.

        If Snakemake died, the next run asks for the stage again although its pictures are complete.
        Then the file keeps all of them, so that this run is free.
        """
        snakemake = os.environ.get("BIGART_SNAKEMAKE")
        # orphans get another parent
        if snakemake and int(snakemake) not in [p.pid for p in psutil.Process().parents()]:
            self.save(pictures, State(0, torch.empty(0)))
            return
        self.path.unlink(missing_ok=True)
        files.remove_leftovers(self.path)


def _sha256(tensors: dict[str, torch.Tensor]) -> str:
    return hashlib.sha256(safetensors.torch.save(tensors)).hexdigest()
