"""The detailer's codes while it is trained."""

import torch

from bigart.vqgan import Codebook
from train_detailer import Codes


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
