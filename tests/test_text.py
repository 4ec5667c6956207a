"""The sheet's text: every script in its own letters, in reading order, the same everywhere."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bigart.pictures import text

PROMPTS = {
    "accents": "café naïve, Dvořák, São Paulo, Đặng, Łódź, ĳ, ß",
    "combining accents": "cafe\u0301 nai\u0308ve a\u030a",
    "Cyrillic": "Озеро на закате, їжак, Ђорђе",
    "Greek": "Ελληνικά: ένα μικρό σπίτι, ᾠδή",
    "Japanese": "夕日の湖、印象派「富士山」ー ｶﾅ",
    "Chinese": "山水畫，湖上的日落。『風』",
    "Korean": "호수 위의 노을, 漢字",
    "Arabic": "لوحة بحيرة عند الغروب، ۱۲۳؟",
    "Persian": "می\u200cخواهم نقاشی",
    "Hebrew": "ציור של אגם בשְׁקִיעָה",
    "Thai": "ภาพวาดทะเลสาบยามพระอาทิตย์ตก ที่นั่น",
    "Devanagari": "झील पर सूर्यास्त, क्षितिज स्त्री।",
    "others": "বাংলা தமிழ் తెలుగు ಕನ್ನಡ മലയാളം ગુજરાતી ਪੰਜਾਬੀ සිංහල ខ្មែរ မြန်မာ ລາວ ქართული հայ አማርኛ",
    "punctuation": "“a” ‘b’ — – … « » ¿¡ № § † ‰ € £ ₹ ½ ² ° × → ★ ♥ ✓ ①",
    "mathematics": "𝓐 𝖑𝖆𝖐𝖊 𝟐",
    "emoji": "🎨 👩🏽‍🎨 👨‍👩‍👧 ☀️ ❤️ 1️⃣ 🇩🇪 🏴󠁧󠁢󠁥󠁮󠁧󠁿",
}


def drawn(line: str, size: int = 28) -> np.ndarray:
    sheet = Image.new("RGB", (900, 60), "white")
    text.draw(sheet, 10, 40, text.line_of(line), size, (0, 0, 0))
    return np.array(sheet)


def glyphs(line: str) -> list[int]:
    return [shaped[0] for run in text._runs(text.line_of(line)) for shaped in text._shaped(run, 28)]


def lines(prompt: str, width: float = 300, max_lines: int = 4, size: int = 28) -> list[str]:
    return [line.text for line in text.wrap(prompt, size, width, max_lines)]


@pytest.mark.parametrize("script", PROMPTS)
def test_no_letter_is_a_box(script):
    """Glyph 0 is the box of a letter that a font lacks."""
    assert 0 not in glyphs(PROMPTS[script])
    assert 0 in glyphs("\u0378")  # no letter at all: the test can fail
    assert (drawn(PROMPTS[script]) < 128).any()


def test_letters_are_joined_and_stacked_as_their_script_wants():
    assert len({*glyphs("ببب"), *glyphs("ب")}) > 3  # first, middle, last form, and alone
    assert glyphs("لا") != glyphs("ا") + glyphs("ل")  # lam and alef
    assert len(glyphs("क्ष")) == 1
    assert len(glyphs("👨‍👩‍👧")) == len(glyphs("👩🏽‍🎨")) == len(glyphs("🇩🇪")) == 1
    assert np.array_equal(drawn("cafe\u0301"), drawn("café"))
    assert np.array_equal(drawn("soft\u00adhyphen zero\u200bwidth"), drawn("softhyphen zerowidth"))


def order(line: str) -> list[str]:
    """What is drawn, from left to right."""
    return [run.text.strip() for run in text._runs(text.line_of(line)) if run.text.strip()]


def test_text_from_right_to_left_is_drawn_so_and_begins_at_the_right():
    assert glyphs("שמן") == [glyphs(letter)[0] for letter in reversed("שמן")]
    assert order("א(ב)") == [")", "ב", "(", "א"]
    assert glyphs("א(") != glyphs("(") + glyphs("א")  # a bracket is mirrored
    assert text.line_of("ציור 2").rtl
    assert not text.line_of("2 lakes ציור").rtl


def test_numbers_and_foreign_words_in_it_keep_their_own_order():
    assert order("אגם GLIDE 2 שמן 1890") == ["1890", "שמן", "GLIDE 2", "אגם"]
    assert order("a lake אגם and 12 שמן") == ["a lake", "אגם", "and 12", "שמן"]
    assert order("بحيرة 42 عند") == ["عند", "42", "بحيرة"]


def test_han_characters_have_the_form_of_their_language():
    forms = [drawn(prompt)[:, 10:38] for prompt in ("直の", "直 한", "直接", "直 ㄅ")]
    assert len({form.tobytes() for form in forms}) >= 2
    assert not np.array_equal(forms[0], forms[2])


def test_a_symbol_is_an_emoji_only_where_it_asks_for_it():
    assert not np.array_equal(drawn("☀"), drawn("☀\ufe0f"))


def test_lines_end_where_the_script_lets_them():
    assert lines("an italian villa at sunset, a lake")[0] == "an italian villa at"
    japanese = lines("夕日の湖、印象派「富士山」の絵。" * 2, 290)
    assert len(japanese) == 4
    assert not any(line[0] in "、。」ー" or line[-1] == "「" for line in japanese)
    assert lines("안녕하세요 세계 호수", 120) == ["안녕하세", "요 세계 호", "수"]


def test_what_is_longer_than_a_line_is_broken_between_characters_as_readers_see_them():
    assert "".join(lines("x" * 60)) == "x" * 60
    for prompt in ("👩🏽‍🎨" * 30, "ที่นั่น" * 12, "e\u0301" * 60):
        found = lines(prompt)
        assert len(found) > 1
        assert "".join(found) == prompt
        assert not any(line[0] in "\u200d\u0301่ัี🎨🏽" for line in found)


def test_a_long_prompt_is_cut_with_an_ellipsis():
    for prompt in (
        "a lake at dusk, " * 40,
        "夕日の湖、" * 100,
        "بحيرة عند " * 90,
        "x" * 500,
    ):
        found = text.wrap(prompt, 28, 300, 4)
        assert len(found) == 4
        assert found[-1].text.endswith("...")
        assert all(text.length(line, 28) <= 300 for line in found)
    assert found[0].text == found[1].text == "x" * len(found[0].text)


def test_blanks_are_one_and_controls_none():
    assert (
        lines("a \t\n corgi\x07") == lines("a\u00a0corgi") == lines("a\u3000corgi") == ["a corgi"]
    )
    assert lines("") == lines(" \n") == lines("\x00\ud800") == []


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=()), max_size=200), st.integers(1, 4))
def test_any_text_can_be_drawn(prompt, max_lines):
    found = text.wrap(prompt, 20, 200, max_lines)
    assert len(found) <= max_lines
    sheet = Image.new("RGB", (300, 60))
    for line in found:
        text.draw(sheet, 10, 40, line, 20, (255, 255, 255))


def test_pixels_are_the_same_on_every_machine():
    pixels = b"".join(drawn(prompt).tobytes() for prompt in PROMPTS.values())
    assert hashlib.sha256(pixels).hexdigest()[:16] == "50f07e90ab80a6bc"
