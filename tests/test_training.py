"""What training starts from, the pictures drawn beside it, and a whole run of it, in small."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

import train_all
from bigart.networks.clip_words import END, ClipWords
from bigart.networks.native.glide.model import Text2ImUNet
from bigart.networks.options import GlideOptions
from bigart.weights.conversion import open_network
from common import Batches, Pool, Run, batches, draw, parameters, prepared, read_vocabulary
from dead_leaves import dead_leaves
from degrade import jag
from diffusion_loss import Process
from painter import FAMILIES
from painter.colours import NAMED
from painter.scene import NUMBERS
from train_base import glide_options, start_well
from train_judge import (
    contrastive_loss,
    ended,
    new_judge,
    shifted,
    with_wrong_words,
    word_groups,
)
from train_upsampler import faulty, shrunk
from widen import widen
from wiener_start import gains, start_as_wiener_filter


def narrow_and_wide() -> tuple[Text2ImUNet, Text2ImUNet]:
    torch.manual_seed(0)
    options = glide_options(True, image_size=16, attention_resolutions=(4,))
    wider = replace(options, channels=16, channel_mult=(1, 2, 4, 4), groups=8)
    return Text2ImUNet(options).eval(), Text2ImUNet(wider).eval()


def test_a_wider_network_begins_where_the_narrow_one_was() -> None:
    narrow, wide = narrow_and_wide()
    start_well(wide)
    tokens, mask = torch.randint(0, 16, (4, 64)), torch.ones(4, 64, dtype=torch.bool)
    x, times = torch.randn(4, 3, 16, 16), torch.tensor([3, 200, 500, 990])
    with torch.no_grad():
        known = narrow(x, times, tokens, mask)
        strange = wide(x, times, tokens, mask)
        widen(wide, narrow)
        now = wide(x, times, tokens, mask)
    spread = float(known.std())
    assert (now - known).square().mean().sqrt() < 0.25 * spread
    assert (strange - known).square().mean().sqrt() > 0.7 * spread


@pytest.fixture
def upsampler() -> Text2ImUNet:
    torch.manual_seed(0)
    options = GlideOptions(
        image_size=64, channels=32, res_blocks=1, channel_mult=(1, 2), head_channels=32,
        attention_resolutions=(), text_ctx=8, text_width=32, text_layers=1, text_heads=2,
        vocab=16, super_res=True, noise_schedule="linear", groups=8,
    )  # fmt: skip
    network = Text2ImUNet(options)
    start_well(network)
    return network.eval()


def test_the_upsampler_starts_as_the_wiener_filter(upsampler: Text2ImUNet) -> None:
    process = Process("linear", "cpu")
    tokens, mask = torch.randint(0, 16, (4, 8)), torch.ones(4, 8, dtype=torch.bool)
    with torch.no_grad():
        upsampler.transformer_proj.weight.mul_(0.1)
        text = upsampler.encode_text(tokens, mask)
    start_as_wiener_filter(upsampler, process, text.proj, steps=1000)
    times = torch.tensor([20, 150, 400, 700])
    x0 = F.interpolate(torch.rand(4, 3, 8, 8) * 2 - 1, scale_factor=8, mode="bilinear")
    xt = process.noisy(x0, times, torch.randn_like(x0))
    low = F.avg_pool2d(x0, 4)
    with torch.inference_mode():
        out = upsampler.denoise(xt, times, text, low)[:, :3]
    a, c = gains(process, times)[:, :, None, None, None].unbind(1)
    wanted = a * xt - c * F.interpolate(low, scale_factor=4, mode="bilinear")
    errors = (out - wanted).square().mean((1, 2, 3)).sqrt()
    assert errors.max() < 0.12  # of 0.7 and more
    assert errors[-1] < 0.015  # where noise prevails, a small error is a wrong picture


def test_dead_leaves_are_the_same_again_and_full_of_edges() -> None:
    first, again, other = (dead_leaves(np.random.default_rng(seed), 96) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.5
    steps = np.abs(np.diff(first.astype(int), axis=1)).max(2)
    assert 0.02 < (steps > 40).mean() < 0.6


def test_jagged_edges_stay_where_they_are_and_flat_colour_stays_flat() -> None:
    picture = np.full((64, 64, 3), 40, np.uint8)
    np.testing.assert_array_equal(jag(picture, 4, np.random.default_rng(0)), picture[::4, ::4])
    picture[:, 32:] = 200
    low = jag(picture, 4, np.random.default_rng(0)).astype(int)
    assert (low[:, :4] == 40).all()
    assert (low[:, -4:] == 200).all()
    assert np.ptp(low[:, 6:10].sum(1)) > 0  # the rows differ about the edge


def test_half_of_what_the_upsampler_learns_from_is_as_the_workflow_makes_it() -> None:
    torch.manual_seed(0)
    pictures = F.interpolate(torch.rand(64, 3, 4, 4) * 2 - 1, scale_factor=8, mode="bilinear")
    differences = (faulty(pictures) - shrunk(pictures)).abs().mean((1, 2, 3))
    assert 8 < (differences < 0.002).sum() < 32  # neither blurred nor grained
    assert differences.max() < 0.2


def test_the_judge_learns_from_what_its_encoders_compute_and_fits_in_3_mb() -> None:
    torch.manual_seed(0)
    judge = new_judge(tiny=False).eval()
    assert parameters(judge) <= 1_500_000
    words = ClipWords(read_vocabulary())
    captions = ("a red circle", "two blue squares next to a corgi in the snow", "")
    tokens, lengths = map(torch.tensor, zip(*(words.context(c, 64) for c in captions), strict=True))
    pictures, times = torch.randn(3, 3, 64, 64), torch.tensor([0, 500, 999])
    with torch.no_grad():
        seen, said = judge(pictures, times, tokens[:, :16], lengths)
        torch.testing.assert_close(seen, judge.image.embed(pictures, times))
        torch.testing.assert_close(said, judge.text.embed(tokens, lengths))


def test_captions_get_one_wrong_word_and_an_end() -> None:
    vocabulary = read_vocabulary()
    captions = (
        *("a red circle", "a red house and red and blue tiles", "a painting of three cats"),
        *("five red circles", "a corgi", "one " * 12),
    )
    words = np.full((len(captions), 12), -1)
    for line, text in zip(words, captions, strict=True):
        ids = vocabulary.encode(text)[:12]
        line[: len(ids)] = ids
    groups = word_groups(vocabulary)
    assert [len(group) for group in groups] == [len(NAMED), 4]
    wrong, rows = with_wrong_words(np.random.default_rng(1), words, groups)
    assert rows.tolist() == [0, 1, 2, 3]
    for line, text in zip(wrong, captions, strict=False):
        lie = vocabulary.decode(line[line >= 0].tolist())
        changed = {pair for pair in zip(text.split(), lie.split(), strict=True) if len({*pair}) > 1}
        assert len(changed) == 1
        right, lie = changed.pop()
        group = next(group for group in (NAMED, NUMBERS[2:6]) if right in group)
        assert lie in set(group) - set(text.split())
    ids, lengths = ended(words, vocabulary.encoder[END])
    written = ClipWords(vocabulary)
    for line, length, text in zip(ids, lengths, captions, strict=True):
        assert (line.tolist(), length) == written.context(text, 12)
    assert written.cut("red circle", 12) == (2, "")
    assert written.cut("red " * 12 + "circle", 12) == (13, "red circle")


def test_the_judge_is_told_neither_right_nor_wrong_of_pictures_that_a_caption_fits_too() -> None:
    vectors = F.normalize(torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]), dim=1)
    texts = torch.cat([vectors, vectors[:1], vectors[:1]])
    same, unused = torch.zeros(3, 3, dtype=torch.bool), torch.tensor([True, True])
    scale = torch.tensor(100.0)
    confused = contrastive_loss(vectors, texts, scale, same, unused)
    same[0, 1] = same[1, 0] = True
    assert contrastive_loss(vectors, texts, scale, same, unused) < 1e-6 < confused
    unused[0] = False  # a wrong caption that looks like the first one's own
    assert contrastive_loss(vectors, texts, scale, same, unused) > 0.1


def test_the_judge_sees_pictures_moved_a_little() -> None:
    torch.manual_seed(0)
    picture = torch.arange(64, dtype=torch.uint8).reshape(1, 1, 8, 8).expand(50, 3, 8, 8)
    moved = shifted(picture, 1)
    assert moved.shape == picture.shape
    expected = F.pad(picture[:1].float(), (1, 1, 1, 1), mode="replicate")[0, 0]
    crops = {expected[y : y + 8, x : x + 8].numpy().tobytes() for y in range(3) for x in range(3)}
    assert {one[0].float().contiguous().numpy().tobytes() for one in moved} == crops


def _grey(index: int, size: int) -> np.ndarray:
    return np.full((size, size, 3), 10 + index, np.uint8)


def _nothing(index: int, size: int) -> np.ndarray:
    raise ValueError(f"no picture {index} of {size}")


def test_pools_are_filled_beside_the_training_by_several_processes(tmp_path: Path) -> None:
    pools = [
        Pool(tmp_path, 8, 5, first=2, make=_grey, kind="grey-"),
        Pool(tmp_path, 64, 3, first=1),
    ]
    draw(pools, 2)
    for pool in pools:
        pool.wait(pool.count)
    assert pools[0].pictures.mean((1, 2, 3)).tolist() == [10, 11, 12, 13, 14]
    again = Pool(tmp_path, 8, 5, first=2, make=_nothing, kind="grey-")
    draw([again], 1)
    assert again.ready() == 5
    assert not again.drawers  # it was all there

    rng = np.random.default_rng(0)
    painted, shares = pools[1], np.zeros(len(FAMILIES))
    shares[painted.families[1]] = 1
    indices = painted.some(rng, 8, shares)
    assert {int(painted.families[i]) for i in indices} == {int(painted.families[1])}
    tokens, mask = painted.texts(rng, indices, none=0.0)
    said = read_vocabulary().decode(tokens[0][mask[0]].tolist())
    assert said  # the shipped list of words may lag behind the painter
    assert not painted.texts(rng, indices, none=1.0)[1].any()


def test_a_pool_that_cannot_be_filled_says_so(tmp_path: Path) -> None:
    pool = Pool(tmp_path, 8, 3, first=1, make=_nothing, kind="no-")
    draw([pool], 1)
    with pytest.raises(RuntimeError, match="no pictures for"):
        pool.wait(1)


def test_a_batch_that_cannot_be_prepared_ends_the_training() -> None:
    def make() -> int:
        raise ValueError("broken")

    with pytest.raises(RuntimeError, match="next batch"):
        next(batches(make))


def _number(rng: np.random.Generator) -> int:
    return int(rng.integers(1_000_000))


@pytest.mark.parametrize("cores", [1, 4])
def test_a_run_that_goes_on_sees_other_pictures(tmp_path: Path, cores: int) -> None:
    def numbers(run: Run) -> list[int]:
        stream: Iterator[int] = prepared(run, _number, 1)
        return [next(stream) for _ in range(3)]

    first = numbers(Run(tmp_path, cores=cores))
    assert first == numbers(Run(tmp_path, cores=cores))
    (tmp_path / "figures.json").write_text(json.dumps({"base": {"runs": [{}]}}))
    assert first != numbers(Run(tmp_path, cores=cores))
    assert next(iter(Batches(_number, (1, 2)))) == _number(np.random.default_rng((1, 2, 0)))


def test_all_networks_are_trained_in_small_and_again_from_there(tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = [
        "--tiny", "--cores", "1", "--pictures", str(tmp_path / "pictures"), "--out", str(out),
    ]  # fmt: skip
    train_all.main(["--minutes", "0.05", *options])
    names = list(train_all.NETWORKS)
    weights = {*names, "judge-text", "judge-image"} - {"judge"}
    files = {f"{name}.safetensors" for name in weights} | {"figures.json"}
    files |= {"state-detailer.pt"}
    assert {path.name for path in out.iterdir()} == files
    before = load_file(out / "base.safetensors")
    with pytest.raises(SystemExit):
        train_all.main(["--minutes", "1", *options, "--from", str(out)])
    train_all.main(["--minutes", "0.05", *options])
    figures = json.loads((out / "figures.json").read_text())
    assert list(figures) == names
    for name in names:
        assert [run["steps"] > 0 for run in figures[name]["runs"]] == [True, True]
    assert {"held_out_mse", "parameters", "bytes"} <= set(figures["base"])
    assert {"found", "colours"} <= set(figures["judge"])
    for part in ("text", "image"):
        encoder, header = open_network(out / f"judge-{part}.safetensors")
        assert header["architecture"] == encoder.architecture == f"clip-{part}"
    assert encoder.options.logit_scale == figures["judge"]["scale"]
    after = load_file(out / "base.safetensors")
    moved = [float((after[key] - before[key]).float().abs().max()) for key in before]
    assert 0 < max(moved) < 0.1, "a few small steps on"
