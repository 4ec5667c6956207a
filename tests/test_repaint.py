"""Painting a part anew: networks for inpainting as recorded, the known part put back, the print."""

import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from torch import Tensor

import parity
from bigart.config import artworks, recipe_row, sources
from bigart.config.options import Config
from bigart.errors import UserError
from bigart.metadata import picture_file, recipe
from bigart.networks.native.glide.model import Text2ImUNet
from bigart.networks.options import GlideOptions
from bigart.networks.tokenizer import Tokenizer
from bigart.pictures import colour, images, masks
from bigart.sampling import samplers
from bigart.sampling.candidates import CandidateNoise, candidate_noise
from bigart.sampling.repaint import (
    Inpainting,
    Known,
    Move,
    RepaintedCandidates,
    first_scaled,
    keeping,
    moves,
)
from bigart.sampling.samplers import SAMPLERS, Denoiser, State, conditioned, guided
from bigart.sampling.schedule import Schedule
from bigart.weights.conversion import save_network
from parity import PARITY, fill, glide_options, normal
from projects import Project, add_models, run_command

TOLERANCE = 1e-3
KEY = "sampling/inpaint_small"


def recorded_known(side: int) -> Known:
    """What the recorded sampling knows, at 64 or 256 pixels."""
    picture = np.random.RandomState(zlib.crc32(f"{KEY}/image".encode())).rand(1, 3, 32, 32)
    large = np.kron(picture, np.ones((8, 8))).astype(np.float32) * 2 - 1
    mask = np.kron(normal(f"{KEY}/mask", (1, 1, 8, 8)) > 0, np.ones((side // 8, side // 8))) > 0
    step = 256 // side
    return Known(torch.from_numpy(large[..., ::step, ::step].copy()), torch.from_numpy(mask))


@pytest.mark.exhaustive
@torch.inference_mode()
def test_both_stages_of_inpainting_are_the_recorded_ones(
    vectors: dict[str, dict], tokenizer: Tokenizer
) -> None:
    vector = parity.guiding_vectors()[KEY]
    recorded = np.load(PARITY / "sampling_inpaint_small.npz")
    options, like = (
        glide_options(vectors["glide/base_inpaint_small"]["options"]),
        vector["glide"][0],
    )
    options = replace(options, res_blocks=like["num_res_blocks"], text_layers=like["xf_layers"])
    base = fill(Text2ImUNet(options))
    prompt, nothing = (
        base.encode_text(*tokenizer.context(text, 128)) for text in (vector["prompt"], "")
    )

    def draws(stage: str, side: int) -> CandidateNoise:
        return lambda candidate, draw: normal(f"{KEY}/{stage}/0/{draw}", (3, side, side))

    def sampled(denoiser: Denoiser, schedule: Schedule, noise: CandidateNoise) -> Tensor:
        def draw(number: int) -> Tensor:
            return torch.from_numpy(np.float32(noise(1, number)))[None]

        *_, end = SAMPLERS["ancestral"](denoiser, schedule, State(0, draw(0)), draw)
        return end.x

    known = recorded_known(64)
    schedule = Schedule.create("squaredcos_cap_v2", vector["steps"])
    denoiser = guided(Inpainting(base, known), prompt, nothing, vector["guidance"])
    small = sampled(keeping(denoiser, known, schedule), schedule, draws("base", 64))
    assert np.abs(small.numpy() - recorded["samples64"]).max() < TOLERANCE
    kept = known.mask.expand_as(small)
    assert (small - known.picture.expand_as(small))[kept].abs().max() < 1e-4

    known = recorded_known(256)
    low_res = ((torch.from_numpy(recorded["samples64"]) + 1) * 127.5).round() / 127.5 - 1
    recorded_options = parity.guiding_vectors()["glide/upsample_inpaint_small"]["options"]
    upsampler = fill(Text2ImUNet(glide_options(recorded_options)))
    text = upsampler.encode_text(*tokenizer.context(vector["prompt"], 128))
    schedule = Schedule.create("linear", vector["upsample"])
    denoiser = conditioned(Inpainting(upsampler, known), text, low_res)
    noise = first_scaled(draws("up", 256), vector["upsample_temp"])
    large = sampled(keeping(denoiser, known, schedule), schedule, noise)
    apart = np.abs(large[..., ::2, ::2].numpy() - recorded["samples256"])
    assert apart.max() < 1 / 255
    assert np.percentile(apart, 99.99) < TOLERANCE


def test_steps_are_taken_again_but_for_the_last() -> None:
    assert moves(3, 1) == [Move(2, None), Move(1, None), Move(0, None)]
    assert moves(3, 2) == [Move(2, None), Move(2, 2), Move(1, None), Move(1, 1), Move(0, None)]
    found = moves(50, 3)  # two steps a jump
    assert found[:6] == [Move(49, None), Move(48, None), Move(49, 48), *found[3:6]]
    assert found[3] == Move(48, None)
    assert [move.step for move in found[-4:]] == [3, 2, 1, 0]
    assert len(found) == 48 * 3 + 2


def candidates(sampler: str, times: int = 3, side: int = 8) -> RepaintedCandidates:
    """Candidates of a network that paints 0.5 everywhere, where the left half is known."""
    schedule = Schedule.create("squaredcos_cap_v2", 25)
    shares = dict(zip(schedule.timesteps, map(float, schedule.alphas_cumprod), strict=True))

    def denoise(x: Tensor, timestep: int) -> tuple[Tensor, Tensor]:
        a = shares[timestep]
        return (x - a**0.5 * 0.5) / (1 - a) ** 0.5, torch.zeros_like(x)

    picture = torch.linspace(-0.9, 0.9, 3 * side * side).reshape(1, 3, side, side)
    mask = (torch.arange(side) < side // 2).expand(1, 1, side, side)
    noise, other = (candidate_noise(1, stage, side) for stage in ("thumbnails", "known"))
    return RepaintedCandidates(
        schedule=schedule,
        sampler=sampler,
        denoiser=lambda chunk: denoise,
        noise=noise,
        device=torch.device("cpu"),
        known=Known(picture, mask),
        other=other,
        times=times,
    )


@pytest.mark.parametrize("sampler", samplers.SAMPLERS)
def test_what_is_known_is_kept_and_the_rest_painted(sampler: str) -> None:
    kind = candidates(sampler)
    states = list(kind.steps(range(2), kind.start(range(2))))
    assert len(states) == kind.moves == 24 * 3 + 1
    end = states[-1].x
    known = kind.known.picture.expand_as(end)
    assert torch.equal(end[..., :4], known[..., :4])
    assert (end[..., 4:] - 0.5).abs().max() < 0.05


@pytest.mark.parametrize("sampler", samplers.SAMPLERS)
def test_a_sampling_is_the_same_from_any_state_and_at_any_batch_size(sampler: str) -> None:
    kind = candidates(sampler)
    *_, whole = states = list(kind.steps(range(2), kind.start(range(2))))
    for number in (1, 2, 40):
        *_, end = kind.steps(range(2), states[number])
        assert torch.equal(end.x, whole.x)
    *_, alone = kind.steps(range(1, 2), kind.start(range(1, 2)))
    assert torch.equal(alone.x[0], whole.x[1])


def test_each_step_is_as_noisy_as_the_sampler_has_it() -> None:
    """Also where noise was added and the step taken again: the deviation says so."""
    kind = candidates("ancestral", side=64)
    shares = kind.schedule.alphas_cumprod_prev
    for move, state in zip(moves(25, 3), kind.steps(range(1), kind.start(range(1))), strict=True):
        share = float(shares[move.step])
        part = state.x[..., 32:] - share**0.5 * 0.5
        assert float(part.std()) == pytest.approx((1 - share) ** 0.5, abs=0.06)


# Masks


def mask_file(folder: Path, mask: np.ndarray, name: str = "mask.png") -> Path:
    Image.fromarray(mask.astype(np.uint8) * 255).save(folder / name)
    return folder / name


def test_a_mask_is_read_in_any_form_and_size(tmp_path: Path) -> None:
    mask = np.zeros((40, 40), bool)
    mask[10:20, 5:25] = True
    path = mask_file(tmp_path, mask)
    assert (masks.read(path, (1, 1)) == mask).all()
    drawn = np.zeros((40, 40, 4), np.uint8)
    drawn[mask] = 255  # white on nothing
    drawn[0, 0] = (255, 255, 255, 60)
    Image.fromarray(drawn).save(tmp_path / "drawn.png")
    assert (masks.read(tmp_path / "drawn.png", (4096, 4096)) == mask).all()
    touched = masks.touched(mask, 8)  # 5 pixels each
    assert touched.sum() == 2 * 4
    one = np.zeros((512, 512), bool)
    one[300, 7] = True
    assert masks.touched(one, 16).sum() == 1
    assert masks.touched(one, 1024).sum() == 4


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: np.zeros((8, 8)), "is nowhere white"),
        (lambda: np.ones((8, 12)), "has 12 x 8 pixels, and a mask must be square"),
    ],
)
def test_a_mask_of_no_use_is_refused(make: object, told: str, tmp_path: Path) -> None:
    path = mask_file(tmp_path, make())  # type: ignore[operator]
    with pytest.raises(UserError, match=told):
        masks.read(path, (64, 64))


def test_the_edge_fades_inside_the_mask_alone() -> None:
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:96, :96]
    mask = (x - 40) ** 2 + (y - 50) ** 2 < 30**2
    old, new = rng.integers(0, 256, (2, 384, 384, 3), np.uint8)
    of_rows = masks.weights(mask, (384, 384))
    found = of_rows(0, 384)
    large = np.kron(mask, np.ones((4, 4), bool))
    assert (found[~large] == 0).all()
    assert found[200, 160] == 1
    assert 0 < found[200, 160 - 114] < 0.5
    strips = (new[top : top + 50] for top in range(0, 384, 50))
    laid = np.concatenate([*masks.composite(strips, Image.fromarray(old), 0, of_rows)])
    assert (laid[~large] == old[~large]).all()
    assert (laid[found == 1] == new[found == 1]).all()
    everything = masks.weights(np.ones((5, 5), bool), (384, 384))
    assert (everything(0, 384) == 1).all()
    line = np.zeros((384, 384), bool)
    line[:, 100] = True
    assert masks.weights(line, (384, 384))(0, 384)[:, 100].min() == 1


def away_from(ends: tuple[tuple[float, float], tuple[float, float]], side: int) -> np.ndarray:
    """How far each pixel is from a line between two points (y, x), in pixels."""
    y, x = np.mgrid[:side, :side]
    (y0, x0), (y1, x1) = ends
    dy, dx = y1 - y0, x1 - x0
    share = np.clip(((y - y0) * dy + (x - x0) * dx) / (dy**2 + dx**2), 0, 1)
    return np.hypot(y - y0 - share * dy, x - x0 - share * dx)


def test_each_part_of_a_mask_is_new_along_its_middle() -> None:
    """Also beside a large part, and as an arm of it: the former picture shines through nowhere."""
    side = 2048  # distances are measured at 1024
    blob = ((700.0, 600.0), (700.0, 601.0)), 400.0
    spot = ((1900.0, 1900.0), (1900.0, 1901.0)), 20.0
    arms = [(((700.0, 600.0), (700.0 + 250 * k, 1900.0)), 4.0 * 2**k) for k in range(3)]
    widths = (0.5, 0.7, 1.0, 1.6, 2.5, 4.0, 11.0, 30.0)
    lines = [
        (((1250.0 + 0.37 * k + 70 * k, 60.0), (1300.0 + 77 * k, 1100.0 + 31 * k)), half)
        for k, half in enumerate(widths)
    ]
    parts = [(away_from(ends, side), half) for ends, half in (blob, spot, *arms, *lines)]
    mask = np.any([away <= half for away, half in parts], axis=0)
    found = masks.weights(mask, (side, side))(0, side)
    assert (found[~mask] == 0).all()
    for away, half in parts:
        assert found[mask & (away <= 0.5)].min() > 0.95, half
    edge = np.abs(np.hypot(*(np.mgrid[:side, :side] - np.array([700, 600])[:, None, None])) - 398)
    assert np.median(found[edge < 1]) < 0.02  # the large part fades in as ever


def test_a_rough_edge_of_a_mask_fades_like_a_smooth_one() -> None:
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:1024, :1024]
    bumps = np.kron(rng.integers(0, 4, (256, 256)), np.ones((4, 4)))
    away = np.hypot(y - 512, x - 512)
    rough, smooth = (
        masks.weights(away < radius, (1024, 1024))(0, 1024) for radius in (300 + bumps, 301)
    )
    assert np.median(rough[(away > 298) & (away < 302)]) < 0.05
    for depth in (5, 10, 15):
        ring = np.abs(away - 300 + depth) < 1
        assert rough[ring].mean() == pytest.approx(smooth[ring].mean(), abs=0.1)


def test_a_mask_may_have_the_size_of_the_largest_print(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)
    path = mask_file(tmp_path, np.eye(100) > 0)
    with pytest.raises(UserError, match="far too large"), images.opened(path):
        pass
    assert (masks.read(path, (1, 1)) == np.eye(100)).all()
    assert Image.MAX_IMAGE_PIXELS == 2000


def test_a_large_mask_is_looked_at_by_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = np.random.default_rng(4).random((96, 100)) < 0.02
    whole = masks._shares(mask, (24, 20))
    monkeypatch.setattr(masks, "_VALUES", 900)
    assert np.abs(masks._shares(mask, (24, 20)) - whole).max() < 1e-5
    assert (masks.touched(mask, 8) == (masks._shares(mask, (8, 8)) > 0)).all()


# A former print that a person put in its place

P3 = (0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)


@pytest.mark.parametrize(
    ("mode", "profile", "of_print", "told"),
    [
        ("RGB", None, "sRGB", ""),
        ("L", None, "sRGB", ""),
        ("P", None, "sRGB", ""),
        ("RGB", ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), "sRGB", ""),
        ("RGB", colour.rgb_profile(P3, colour.SRGB_CURVE), "sRGB", "has other colours than sRGB"),
        ("RGB", None, "Adobe RGB", "has other colours than Adobe RGB"),
        ("L", None, "Adobe RGB", "has other colours than Adobe RGB"),
        ("RGB", colour.rgb_profile(colour.ADOBE, colour.power(2.2)), "Adobe RGB", ""),
        ("CMYK", None, "sRGB", "has CMYK colours"),
    ],
)
def test_a_former_print_must_have_the_colours_of_the_new_one(
    mode: str, profile: bytes | None, of_print: str, told: str, tmp_path: Path
) -> None:
    """Its numbers stay as they are, under the new one's profile."""
    path = tmp_path / "final.tif"
    Image.new("RGB", (64, 64), "teal").convert(mode).save(path, icc_profile=profile)
    with Image.open(path) as image:
        if not told:
            masks.check_former(image, path, (60, 60), 2, of_print)
            return
        with pytest.raises(UserError, match=told):
            masks.check_former(image, path, (60, 60), 2, of_print)


def test_a_former_print_by_hand_is_looked_at_before_anything_is_painted(tmp_path: Path) -> None:
    mask = mask_file(tmp_path, np.ones((4, 4)))
    table = tmp_path / "table.tsv"
    table.write_text(
        f"artwork\tprompt\trepaint\tmask\nlake\ta lake\t\t\nboat\ta boat\tlake\t{mask}\n"
    )
    config = Config(results=str(tmp_path / "results"))
    found, errors = artworks.read(table, config)
    assert errors == []
    final = tmp_path / "results/lake/final.png"
    final.parent.mkdir(parents=True)

    def told() -> list[str]:
        outputs = {f"{config.results}/boat/{name}" for name in ("1-thumbnails/1.png", "final.png")}
        return sources.file_errors(config, found, outputs, 1024)

    assert told() == []  # it is still to be painted
    Image.new("RGB", (1024, 1024)).save(final)
    assert told() == []
    Image.new("RGB", (900, 900)).save(final)
    [error] = told()
    assert "artwork `boat`, column `repaint`: " in error
    assert "final.png has 900 x 900 pixels, and the new print 1024 x 1024: `size`, `dpi`" in error
    assert "It was put there by hand; without it the workflow makes its own" in error
    p3 = colour.rgb_profile(P3, colour.SRGB_CURVE)
    Image.new("RGB", (1024, 1024)).save(final, icc_profile=p3)
    [error] = told()
    assert "has other colours than sRGB, and its pixels stay as they are" in error
    new = tmp_path / "new.png"
    picture_file.write_picture(new, np.zeros((1024, 1024, 3), np.uint8), recipe.start())
    command = ["--image", new, "--former", final, "--mask", mask, "--out", tmp_path / "out.png"]
    assert run_command("finish_print", *command) == 1


def test_a_photograph_that_is_cut_to_a_square_may_be_repainted(tmp_path: Path) -> None:
    mask = mask_file(tmp_path, np.ones((4, 4)))
    photo = tmp_path / "photo.png"
    Image.new("RGB", (90, 60)).save(photo)
    table = tmp_path / "table.tsv"
    for size, said in (("600x600", 0), ("600", 1)):
        table.write_text(
            "artwork\tprompt\trepaint\tmask\tpicture\tsize\n"
            f"lake\ta lake\t\t\t{photo}\t{size}\nboat\ta boat\tlake\t{mask}\t\t600\n"
        )
        config = Config(results=str(tmp_path / "results"))
        found, errors = artworks.read(table, config)
        assert errors == []
        outputs = {f"{config.results}/boat/final.png"}
        told = sources.file_errors(config, found, outputs, 4096)
        assert len(told) == said
        assert all("only a square picture can be painted anew" in error for error in told)


@pytest.mark.parametrize(
    ("former", "new", "column", "allowed"),
    [
        ("50 cm\t\t150", "50 cm\t\t200", "dpi", "'150'"),
        ("50x50 cm\t\t150", "50 cm\t\t200", "dpi", "'150'"),
        ("auto\t3\t150", "auto\t3\t200", "dpi", "'150'"),
        ("20 cm\t3\t150", "20 cm\t3\t200", "dpi", "'150'"),
        ("20 cm\t3\t150", "20 cm\t4\t150", "bleed", "'3.0'"),
        ("20 cm\t3\t150", "30 cm\t3\t150", "size", "'20 cm'"),
    ],
)
def test_a_frame_that_is_not_the_formers_is_told_by_what_makes_it(
    former: str, new: str, column: str, allowed: str, tmp_path: Path
) -> None:
    mask = mask_file(tmp_path, np.ones((4, 4)))
    table = tmp_path / "table.tsv"
    table.write_text(
        "artwork\tprompt\trepaint\tmask\tsize\tbleed\tdpi\n"
        f"lake\ta lake\t\t\t{former}\nboat\ta boat\tlake\t{mask}\t{new}\n"
    )
    _, [error] = artworks.read(table, Config())
    assert error.place == f"artwork `boat`, column `{column}`"
    assert error.message == f"it is not that of `lake`; allowed: {allowed}"


# In the workflow

TABLE = """\
artwork\tprompt\trepaint\tmask\tseed\tchoose\tdetail
lake\ta painting of a sunset over a lake\t\t\t3\t2\tyes
boat\ta boat\tlake\tmask.png\t4\t\tno
moon\ta moon\tboat\tother.png\t5\t\tno
"""


@pytest.fixture(scope="module")
def painted(tiny: Project) -> Project:
    """A tiny project with two repaints, one of the other; `lake` is painted already."""
    mask = np.zeros((50, 50), bool)
    mask[10:30, 20:40] = True
    mask_file(tiny.folder, mask)
    mask_file(tiny.folder, np.rot90(mask, 2), "other.png")
    tiny.table.write_text(TABLE)
    tiny.snakemake()
    return tiny


def final(project: Project, artwork: str) -> np.ndarray:
    with Image.open(project.folder / f"results/{artwork}/final.png") as image:
        return np.array(image)  # as it is, in any profile


def large_mask(project: Project, name: str, side: int) -> np.ndarray:
    small = np.asarray(Image.open(project.folder / name)) > 0
    index = ((np.arange(side) + 0.5) * 50 / side).astype(int)
    return small[np.ix_(index, index)]


@pytest.mark.parametrize(
    ("new", "former", "name"), [("boat", "lake", "mask.png"), ("moon", "boat", "other.png")]
)
def test_outside_the_mask_every_pixel_stays(
    painted: Project, new: str, former: str, name: str
) -> None:
    before, after = final(painted, former), final(painted, new)
    inside = large_mask(painted, name, 1024)
    assert before.shape == after.shape == (*inside.shape, 3)
    assert (after[~inside] == before[~inside]).all()
    assert (after[inside] != before[inside]).any(axis=-1).mean() > 0.5


def test_a_print_with_bleed_in_other_colours_is_laid_over_one(tmp_path: Path) -> None:
    """Its numbers stay as they are, those of the mirrored edge as well."""
    rng = np.random.default_rng(2)
    for name in ("old", "new"):
        noise = rng.integers(0, 256, (96, 96, 3), np.uint8)
        picture_file.write_picture(tmp_path / f"{name}.png", noise, recipe.start())
    mask = np.zeros((12, 12), bool)
    mask[:5, 3:] = True
    mask_file(tmp_path, mask)
    frame = ["--bleed", 1, "--dpi", 254, "--profile", "Adobe RGB", "--seed", 1]
    former, out = tmp_path / "former.tif", tmp_path / "final.tif"
    command = ["finish_print", "--image"]
    assert run_command(*command, tmp_path / "old.png", *frame, "--out", former) == 0
    over = ["--former", former, "--mask", tmp_path / "mask.png", "--out", out]
    assert run_command(*command, tmp_path / "new.png", *frame, *over) == 0
    with Image.open(former) as image:
        before = np.array(image)
    with Image.open(out) as image:
        after = np.array(image)
    inside = np.pad(np.kron(mask, np.ones((8, 8), bool)), 10, mode="symmetric")
    assert before.shape == after.shape == (116, 116, 3)
    assert (after[~inside] == before[~inside]).all()
    assert (after[inside] != before[inside]).any(axis=-1).mean() > 0.9


def test_the_recipe_says_what_was_painted_anew(painted: Project) -> None:
    made = picture_file.read_recipe(painted.folder / "results/moon/final.png")
    names = [stage["stage"] for stage in made["stages"]]
    assert (names[:2], names[-1]) == (["thumbnails", "upsampled"], "final")
    first = made["stages"][0]
    assert (first["repaint"], first["mask"], first["prompt"]) == ("boat", "other.png", "a moon")
    assert len(first["former"]) == len(first["mask_sha256"]) == 64
    assert made["stages"][-1]["former"] == first["former"]
    cells = recipe_row.row(made)
    assert (cells["repaint"], cells["mask"], cells["seed"]) == ("boat", "other.png", "5")
    assert recipe.source_type(made) == recipe.SOURCE_TYPE


def test_a_change_reruns_what_depends_on_it(painted: Project) -> None:
    assert painted.jobs() == set()
    mask = painted.folder / "other.png"
    mask.touch()
    assert painted.jobs() == set()
    content = mask.read_bytes()
    mask_file(painted.folder, np.ones((50, 50), bool), "other.png")
    jobs = painted.jobs()
    assert {job.split()[1] for job in jobs} == {"moon"}
    assert {"thumbnails_repaint moon", "upsampled_repaint moon", "final_repaint moon"} <= jobs
    mask.write_bytes(content)
    painted.edit("a ship", "boat", "prompt")
    assert {job.split()[1] for job in painted.jobs()} == {"boat", "moon"}
    painted.edit("a boat", "boat", "prompt")
    painted.edit("8", "lake", "seed")
    assert {job.split()[1] for job in painted.jobs()} == {"lake", "boat", "moon"}
    painted.edit("3", "lake", "seed")
    assert painted.jobs() == set()


def test_code_for_masks_reruns_repaints(painted: Project) -> None:
    jobs = painted.jobs_with_a_new_statement("pictures/masks.py")
    assert {job.split()[1] for job in jobs} == {"boat", "moon"}


def test_a_set_with_networks_for_inpainting_paints_with_them(painted: Project) -> None:
    folder = painted.folder / "own"
    folder.mkdir()
    entries = {}
    for role, side in (("base", 16), ("upsampler", 64)):
        path = painted.folder / f"models/embedded/{role}.safetensors"
        options = parity_free_options(path)
        network = Text2ImUNet(replace(options, inpaint=True))
        name = f"{role}_inpaint"
        save_network(network, folder / f"{name}.safetensors", "glide", torch.float32, "c" * 64)
        assert network.options.image_size == side
        entries[f"my-{name}"] = {
            **{"architecture": "glide", "path": str(folder / f"{name}.safetensors")},
            "ready": True,
        }
    roles = {"base_inpaint": "my-base_inpaint", "upsampler_inpaint": "my-upsampler_inpaint"}
    add_models(painted.folder, entries, **roles)
    mine = ["--config", "models=mine"]
    jobs = painted.jobs(*mine)
    assert {job.split()[1] for job in jobs} == {"boat", "moon"}
    painted.snakemake("results/boat/2-upsampled/1.png", *mine)
    made = picture_file.read_recipe(painted.folder / "results/boat/2-upsampled/1.png")
    assert [list(stage["models"]) for stage in made["stages"]] == [
        ["base_inpaint.safetensors"],
        ["upsampler_inpaint.safetensors"],
    ]
    lake = images.read_rgb(painted.folder / "results/lake/final.png")
    small = np.asarray(Image.fromarray(lake).resize((64, 64), Image.Resampling.LANCZOS))
    kept = ~masks.touched(masks.read(painted.folder / "mask.png", (1, 1)), 64)
    painted_anew = images.read_rgb(painted.folder / "results/boat/2-upsampled/1.png")
    assert np.abs(painted_anew.astype(int) - small)[kept].max() <= 1


def parity_free_options(path: Path) -> GlideOptions:
    from bigart.weights import inspection

    options = inspection.inspect(path, "glide", converted=True).options
    assert isinstance(options, GlideOptions)
    return options


# Errors


def test_what_cannot_be_is_said_together(tmp_path: Path) -> None:
    mask = mask_file(tmp_path, np.ones((4, 4)))
    table = tmp_path / "table.tsv"
    rows = [
        *("a\tlake\tb\tMASK\t\t\t", "b\tlake\ta\tMASK\t\t\t", "c\tlake\tnone\tMASK\t\t\t"),
        *("d\tlake\td\tMASK\t\t\t", "e\tlake\tg\t\t\t\t", "f\tlake\t\tMASK\t\t\t"),
        *("g\tlake\t\t\t\t\t", "h\tlake\tg\tMASK\tMASK\t\t", "i\tlake\tg\tMASK\t\t8192\t"),
        *("j\tlake\tg\tMASK\t\t\tclip", "k\tlake\tg\tno.png\t\t\t", "l\tlake\t\t\t\t20x30 cm\t"),
        *("m\tlake\tl\tMASK\t\t20x30 cm\t", "n\tlake\t\t\t\t1000|2000\t", "o\tlake\tn\tMASK\t\t\t"),
    ]
    header = "artwork\tprompt\trepaint\tmask\tpicture\tsize\tguide"
    table.write_text("\n".join([header, *rows]).replace("MASK", str(mask)) + "\n")
    _, errors = artworks.read(table, Config())
    said = [f"{error.place}: {error.message}" for error in errors]
    expected = [
        "artwork `a`, column `repaint`: it repaints itself: `a` repaints `b` repaints `a`",
        "artwork `b`, column `repaint`: it repaints itself: `b` repaints `a` repaints `b`",
        "artwork `c`, column `repaint`: there is no artwork `none`.",
        "artwork `d`, column `repaint`: it repaints itself: `d` repaints `d`",
        "artwork `e`, column `mask`: it is blank, and `repaint` is not; allowed: both, or none",
        "artwork `f`, column `repaint`: it is blank, and `mask` is not; allowed: both, or none",
        "artwork `h`, column `repaint`: an artwork begins with one of `picture` and `repaint`",
        "artwork `i`, column `size`: it is not that of `g`; allowed: 'auto'",
        "artwork `j`, column `guide`: found 'clip', which does not go with `repaint`",
        "artwork `k`, column `mask`: found 'no.png', and there is no such file",
        "artwork `m`, column `size`: found '20x30 cm', and only a square picture can be painted",
        "artwork `o`, column `repaint`: `n` lists values; allowed: one of its artworks",
    ]
    assert len(said) == len(expected)
    for found, part in zip(said, expected, strict=True):
        assert found.startswith(part)


def test_a_mask_of_no_use_is_said_before_anything_is_painted(painted: Project) -> None:
    content = (painted.folder / "mask.png").read_bytes()
    mask_file(painted.folder, np.zeros((50, 50)))
    mask_file(painted.folder, np.ones((50, 90)), "other.png")
    told = painted.snakemake("--dry-run", check=False).stderr
    assert "artwork `boat`, column `mask`: mask.png is nowhere white" in told
    assert "artwork `moon`, column `mask`: other.png has 90 x 50 pixels" in told
    (painted.folder / "mask.png").write_bytes(content)
