"""The detailer's codes while it is trained, and what it is given to learn from."""

import torch

from bigart.networks.native.rrdbnet import RRDBNet
from bigart.networks.native.vqgan import Codebook
from bigart.networks.options import RRDBNetOptions
from critic import Critic
from pipeline import soften
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


def test_the_critic_does_not_see_colours() -> None:
    torch.manual_seed(0)
    critic, picture = Critic(), torch.rand(1, 3, 64, 64) / 2
    assert critic(picture).shape == (1, 1, 7, 7)
    torch.testing.assert_close(critic(picture), critic(picture + 0.3), atol=1e-4, rtol=0)
