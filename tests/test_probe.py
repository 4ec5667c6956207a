"""The probe's scores, which the figures of the embedded models rest on."""

import numpy as np
import pytest
import torch
from torch import Tensor

from painter import Scene
from probe import COLOUR_NAMES, COUNTS, FAMILY_NAMES, Probe, labels, scores

SCENES = [Scene("circles", ("red", "blue"), 2), Scene("villa"), Scene("blocks", ("green",))]


class Answers(Probe):
    """Says what it is told to, whatever the picture."""

    def __init__(self, families: list[str], colours: list[list[str]], count: int) -> None:
        super().__init__(width=1)
        scenes = [Scene(f, tuple(c), count) for f, c in zip(families, colours, strict=True)]
        self.answer = labels(scenes)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        families, colours, counts = self.answer
        return torch.eye(len(FAMILY_NAMES))[families], colours, torch.eye(COUNTS)[counts]


def score_of(families: list[str], colours: list[list[str]], count: int = 2) -> dict[str, float]:
    answers = Answers(families, colours, count)
    return scores(answers, torch.zeros(len(families), 3, 64, 64), SCENES)


def test_all_right_and_all_wrong() -> None:
    right = score_of(["circles", "villa", "blocks"], [["red", "blue"], [], ["green"]])
    everything = {"family": 1.0, "shape": 1.0, "colours": 1.0, "counts": 1.0, "all": 1.0}
    assert right == {"pictures": 3, **everything}
    wrong = score_of(["lake", "sea", "circles"], [["pink", "white"], ["pink"], ["pink"]], count=3)
    assert (wrong["family"], wrong["colours"], wrong["counts"], wrong["all"]) == (0, 0, 0, 0)


def test_parts_count_by_what_was_said() -> None:
    part = score_of(["circles", "lake", "blocks"], [["red", "pink"], ["pink"], ["green"]])
    assert part["family"] == pytest.approx(2 / 3, abs=1e-3)
    assert part["shape"] == 1.0
    assert part["colours"] == pytest.approx(2 / 3, abs=1e-3)
    assert part["all"] == pytest.approx(5 / 7, abs=1e-3)


def test_larger_pictures_are_averaged_down() -> None:
    probe = Probe(width=2).eval()
    small = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (2, 3, 64, 64))).float()
    large = small.repeat_interleave(4, 2).repeat_interleave(4, 3)
    with torch.inference_mode():
        families, colours, counts = probe(small)
        torch.testing.assert_close(probe(large)[0], families)
    assert families.shape == (2, len(FAMILY_NAMES))
    assert colours.shape == (2, len(COLOUR_NAMES))
    assert counts.shape == (2, COUNTS)
