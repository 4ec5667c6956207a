"""The detailer's codes while it is trained, and what it is given to learn from."""

import torch

from bigart.networks.native.rrdbnet import RRDBNet
from bigart.networks.native.vqgan import Codebook
from bigart.networks.options import RRDBNetOptions
from common import blurred
from pipeline import soften
from textures import Textures, blocking, grid
from train_detailer import Codes
from train_enlarger import gradients, start_as_nearest


def test_codes_read_from_a_file_stay_when_training_goes_on() -> None:
    codebook = Codebook(6, 2)
    codes = Codes(codebook)
    trained = torch.arange(12.0).reshape(6, 2)
    with torch.no_grad():  # as a checkpoint is read: after the codes' averages were made
        codebook.embedding.weight.copy_(trained)
    codes.follow(trained[:2], torch.tensor([0, 1]))
    torch.testing.assert_close(codes.weight.detach(), trained)


def test_codes_are_born_among_the_vectors_however_few() -> None:
    codes = Codes(Codebook(6, 2))
    vectors = torch.tensor([[0.0, 0.0], [5.0, 5.0], [9.0, 0.0]])
    codes.born(vectors)
    assert torch.cdist(codes.weight, vectors).amin(1).max() == 0


def test_a_softened_picture_has_lost_its_fine_strokes_and_nothing_else() -> None:
    enlarger = RRDBNet(RRDBNetOptions(features=8, blocks=1, growth=4))
    start_as_nearest(enlarger)
    strokes = torch.zeros(1, 3, 64, 64)
    strokes[..., ::2] = 0.5
    strokes[:, :, 32:] += 0.25
    soft = soften(strokes, enlarger)
    assert soft.shape == strokes.shape
    assert (soft.mean((2, 3)) - strokes.mean((2, 3))).abs().max() < 0.02
    assert gradients(soft).abs().mean() < 0.3 * gradients(strokes).abs().mean()
    assert soft[:, :, 40:].mean() - soft[:, :, :24].mean() > 0.2


def test_strokes_elsewhere_are_the_same_texture_and_softer_ones_are_not() -> None:
    torch.manual_seed(0)
    noise = torch.randn(2, 1, 1, 24, 192).repeat_interleave(8, 3).expand(2, 1, 3, 192, 192)
    strokes, others = 0.5 + 0.1 * noise
    unlike = Textures(48, (1.0, 1.0))
    alike = unlike(others, strokes)
    assert unlike(strokes, strokes) == 0
    assert unlike(blurred(strokes, 1.5), strokes) > 2 * alike
    assert unlike(others.mT, strokes) > 2 * alike
    assert unlike(strokes + 0.2, strokes) < 0.01


def test_a_scale_smaller_than_a_window_is_left_out() -> None:
    textures = Textures(32, (1.0, 1.0, 1.0))
    assert [len(p) for p in textures.products(torch.rand(2, 3, 64, 96))] == [12, 2]


def test_a_mark_in_each_cell_is_a_grid_and_as_many_anywhere_are_none() -> None:
    target = torch.full((2, 3, 192, 96), 0.5)
    marked, scattered = target.clone(), target.clone()
    marked[..., 5::8, 3::8] = 1.0
    scattered.flatten(2)[..., torch.randperm(192 * 96)[: 24 * 12]] = 1.0
    assert grid(marked, target, 8, 96) > 4 * grid(scattered, target, 8, 96)
    assert grid(marked, target, 7, 84) < 0.5 * grid(marked, target, 8, 96)
    assert grid(target + 0.1, target, 8, 96) < 1e-4


def test_steps_at_the_borders_of_blocks_cost_and_as_many_anywhere_do_not() -> None:
    plain = torch.rand(16, 3, 192, 96)
    blocks = torch.rand(2, 3, 24, 12).repeat_interleave(8, 2).repeat_interleave(8, 3)
    moved = torch.cat([blocks.roll(k, -1).roll(k, -2) for k in range(8)])
    assert blocking(blocks, plain[:2], 8, 96) > 2
    assert blocking(moved, plain, 8, 96) < 0.2
    assert blocking(blocks, blocks, 8, 96) < 1e-3
