"""The recipe: every stage adds to it, every file holds it, any prompt survives in it."""

import json
import xml.etree.ElementTree as ET
from importlib import metadata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from bigart.errors import UserError
from bigart.metadata import picture_file, recipe
from conftest import run

PICTURE = np.full((8, 8, 3), 100, np.uint8)
AWKWARD = 'a "cat" & <dog> \'s ]]> \t\r\n\x00\x07\x85\u2028\ufffe\ud800 山水 🎨 $(rm) `x`'
any_text = st.text(st.characters(exclude_categories=()))  # lone surrogates too


def made(prompt: str = "a corgi") -> recipe.Recipe:
    """The recipe of a picture two stages old."""
    first = recipe.extend(
        recipe.start(),
        "thumbnails",
        artwork="corgi",
        prompt=prompt,
        seed=42,
        candidate=3,
        models={"base.safetensors": "ab" * 32},
    )
    return recipe.extend(first, "texture", amount=0.037, size=3, colour=False)


def test_every_stage_appends_and_leaves_its_input_alone():
    first = recipe.extend(recipe.start(), "thumbnails", seed=1)
    second = recipe.extend(first, "enlarged", seed=2)
    assert [stage["stage"] for stage in second["stages"]] == ["thumbnails", "enlarged"]
    assert len(first["stages"]) == 1
    assert recipe.find(second, "seed") == 2  # the latest
    assert recipe.find(second, "guidance") is None


def test_versions_are_noted_again_only_where_they_changed():
    same = recipe.extend(recipe.start(), "enlarged")
    assert "versions" not in same["stages"][0]
    older = recipe.start()
    older["versions"]["numpy"] = "1.0"
    entry = recipe.extend(older, "enlarged")["stages"][0]
    assert entry["versions"] == {"numpy": recipe.versions()["numpy"]}
    assert set(recipe.versions()) == {"python", "torch", "numpy", "pillow"}


@given(any_text, any_text)
def test_any_text_survives_json_and_xmp(prompt, name):
    original = recipe.extend(recipe.start(), "thumbnails", prompt=prompt, **{"x" + name: name})
    assert recipe.from_json(recipe.to_json(original)) == original
    assert recipe.from_xmp(recipe.to_xmp(original)) == original


@settings(max_examples=25)
@given(any_text)
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_any_prompt_survives_every_format(tmp_path_factory, suffix, prompt):
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    picture_file.write_picture(path, PICTURE, made(prompt), dpi=300)
    assert picture_file.read_recipe(path) == made(prompt)


def test_numbers_that_are_not_json_are_refused():
    with pytest.raises(ValueError, match="not JSON compliant"):
        recipe.to_json(recipe.extend(recipe.start(), "x", guidance=float("nan")))


def test_xmp_tells_catalogues_what_the_picture_is():
    root = ET.fromstring(recipe.to_xmp(made("a cat & a <dog>\x07")))
    texts = {element.tag: element.text for element in root.iter()}
    assert texts["{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"] == (
        "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    )
    assert texts["{http://ns.adobe.com/xap/1.0/}CreatorTool"].startswith("BIG.art ")
    rdf = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
    dc = "{http://purl.org/dc/elements/1.1/}"
    found = {
        name: root.find(f".//{dc}{name}/{rdf}Alt/{rdf}li").text for name in ("title", "description")
    }
    assert found == {"title": "corgi", "description": "a cat & a <dog>\ufffd"}


def test_xmp_rewritten_by_an_editor_is_still_read():
    """Editors may write simple properties as attributes."""
    text = recipe.to_json(made()).replace("&", "&amp;").replace('"', "&quot;")
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
        'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
        f'xmlns:b="{recipe.NAMESPACE}" b:recipe="{text}"/></rdf:RDF></x:xmpmeta>'
    )
    assert recipe.from_xmp(packet.encode() + b"\n \0\0") == made()


@pytest.mark.parametrize(
    "packet",
    [
        b"<x",
        b"",
        b'<!DOCTYPE x [<!ENTITY a "aaaa">]><x>&a;</x>',
        f'<x xmlns:b="{recipe.NAMESPACE}"><b:recipe>{{}}</b:recipe></x>'.encode(),
        f'<x xmlns:b="{recipe.NAMESPACE}"><b:recipe>{"[" * 100_000}</b:recipe></x>'.encode(),
    ],
)
def test_damaged_xmp_is_refused(packet):
    with pytest.raises((ValueError, RecursionError), match=r"XMP|stages|recursion"):
        recipe.from_xmp(packet)


def test_a_recipe_is_read_without_the_pixels_and_also_found_behind_them(tmp_path):
    path = tmp_path / "a.png"
    picture_file.write_picture(path, PICTURE, made())
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"IDAT") + 8])
    assert picture_file.read_recipe(path) == made()
    Image.fromarray(PICTURE).save(path)
    own = path.read_bytes()
    chunk = content.index(b"iTXt") - 4
    length = 12 + int.from_bytes(content[chunk : chunk + 4], "big")
    path.write_bytes(own[:-12] + content[chunk : chunk + length] + own[-12:])
    assert picture_file.read_recipe(path) == made()


def test_a_picture_from_elsewhere_is_named_as_such(tmp_path):
    path = tmp_path / "own.png"
    Image.new("RGB", (4, 4)).save(path)
    with pytest.raises(UserError, match="carries no recipe"):
        picture_file.read_recipe(path)
    stages = picture_file.recipe_so_far(path)["stages"]
    assert stages == [{"stage": "picture from elsewhere", "file": "own.png"}]


@pytest.mark.parametrize("text", ["{", '{"stages": 3}', '{"stages": ["x"]}', "null", "[" * 10**5])
def test_a_damaged_recipe_says_so(tmp_path, text):
    info = PngInfo()
    info.add_itxt(recipe.CHUNK, text)
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png", pnginfo=info)
    with pytest.raises(UserError, match="cannot be read"):
        picture_file.read_recipe(tmp_path / "a.png")


def test_show_recipe_prints_for_people_and_for_programs(tmp_path):
    path = tmp_path / "a.png"
    picture_file.write_picture(path, PICTURE, made(AWKWARD))
    for_people = run("show_recipe.py", path)
    assert for_people.returncode == 0
    for part in ("1. thumbnails", "2. texture", "山水 🎨", "\\x07", "ab" * 32, "0.037", "torch"):
        assert part in for_people.stdout
    assert "\x07" not in for_people.stdout  # nothing steers the terminal
    assert json.loads(run("show_recipe.py", path, "--json").stdout) == made(AWKWARD)


def test_show_recipe_of_nothing_is_one_clear_line():
    result = run("show_recipe.py", "no-such.png")
    assert result.returncode == 1
    assert result.stderr == "show_recipe: error: there is no picture no-such.png\n"


def test_a_stage_without_torch_records_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    found = metadata.version

    def version(name: str) -> str:
        if name == "torch":
            raise metadata.PackageNotFoundError(name)
        return found(name)

    began = recipe.start()
    monkeypatch.setattr(metadata, "version", version)
    assert set(recipe.versions()) == {"python", "numpy", "pillow"}
    assert "versions" not in recipe.extend(began, "textured-1024")["stages"][0]
