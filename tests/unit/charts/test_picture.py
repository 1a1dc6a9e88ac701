import base64
import errno
import json
import os
import re
from pathlib import Path

import pytest

from howfar.charts import fonts
from howfar.charts.saving import file_format
from howfar.charts.spacing import SpacingPicture, spacing
from howfar.errors import OutputError
from support.traces import make_trace

NOWHERE = "\U00010600"  # a sign of Linear A, which no common font has


def picture(text: str = "ab") -> SpacingPicture:
    return spacing(make_trace(text, [1.0] * len(text.encode())))


def html(picture: SpacingPicture) -> str:
    return picture.render("html").decode()


@pytest.mark.parametrize(("name", "magic"), [("x.svg", b"<svg"), ("x.PNG", b"\x89PNG"), ("x.pdf", b"%PDF")])
def test_the_ending_says_the_format(tmp_path: Path, name: str, magic: bytes):
    picture().save(tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(magic)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_still_picture_has_no_script():
    assert "<script" not in picture().render("svg").decode()


def test_a_page_asks_no_other_host_for_anything():
    content = html(picture())
    assert "default-src 'none'" in content
    assert not re.search(r"<[^>]*\s(src|href)=", content)
    assert "cdn." not in content


@pytest.mark.parametrize(
    "text", ["</script><script>alert(1)</script>", "<!--<script>", "{{ content }}", "{{ library }}"]
)
def test_a_text_is_never_more_than_text_in_a_page(text: str):
    content = html(picture(text))
    assert content.count("<script") == 2
    data = re.search(r'<script type="application/json">(.*?)</script>', content, re.DOTALL)
    assert json.loads(data[1])["content"]["texts"][0]["labels"] == list(text)


def test_a_page_has_both_themes_and_words_for_those_who_do_not_see_it():
    content = html(picture())
    assert "prefers-color-scheme: dark" in content
    assert re.search('role="group" aria-label="[^"]*steps from', content)
    assert 'aria-live="polite"' in content
    assert 'tabindex="0"' in content


def test_another_ending_is_refused_before_anything_is_drawn(tmp_path: Path):
    with pytest.raises(OutputError, match=r"'picture' has no ending; end it in \.html, "):
        file_format(Path("picture"))
    with pytest.raises(OutputError, match=r"ends in '\.gif', which is not a picture format; end it in \.html, "):
        picture().save(tmp_path / "x.gif")


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "x.svg").write_text("before", encoding="utf-8")

    def fill(path: Path, content: bytes) -> int:
        path.touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", fill)
    with pytest.raises(OutputError, match=r"cannot be written \(No space left on device\)"):
        picture().save(tmp_path / "x.svg")
    assert [path.name for path in tmp_path.iterdir()] == ["x.svg"]
    assert (tmp_path / "x.svg").read_text(encoding="utf-8") == "before"


def test_characters_without_a_font_are_named_not_drawn_as_boxes(tmp_path: Path):
    for name in ("x.png", "x.pdf"):
        with pytest.raises(OutputError, match=rf"no font on this machine has {NOWHERE}, .* install the Noto fonts"):
            picture(f"a{NOWHERE}").save(tmp_path / name)
    assert not list(tmp_path.iterdir())
    for name in ("x.svg", "x.html"):  # the reader's fonts draw these
        picture(f"a{NOWHERE}").save(tmp_path / name)


@pytest.mark.parametrize("emoji", ["👩", "❤\ufe0f"])
def test_a_pdf_holds_an_emoji_or_says_that_it_cannot(emoji: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fonts, "_can_be_drawn", lambda character: True)  # or as if it could: this is about PDF
    said = "a pdf cannot hold .* on this machine, which draws in pixels; save .png, .svg or .html"
    assert re.match(f"%PDF|{said}", pdf_or_why_not(f"a{emoji}"))


def pdf_or_why_not(text: str) -> str:
    try:
        return picture(text).render("pdf").decode("latin-1")
    except OutputError as error:
        return str(error)


def test_what_a_pdf_cannot_hold_is_named_and_other_defects_stay_defects(monkeypatch: pytest.MonkeyPatch):
    def refuse(reason: str):
        def convert(spec) -> bytes:
            raise ValueError(reason)

        return convert

    monkeypatch.setattr(fonts, "_can_be_embedded", lambda character: character != "☃")
    monkeypatch.setattr("vl_convert.svg_to_pdf", refuse("an error while subsetting a font"))
    with pytest.raises(OutputError, match="a pdf cannot hold the font that has ☃ on this machine"):
        picture("a☃").render("pdf")
    monkeypatch.setattr("vl_convert.svg_to_pdf", refuse("out of memory"))
    with pytest.raises(ValueError, match="out of memory"):
        picture("a☃").render("pdf")


def test_chinese_without_a_font_is_told_which(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fonts, "_can_be_drawn", lambda character: character < "\u3000")
    monkeypatch.setattr(fonts, "_MOST_NAMED", 4)
    with pytest.raises(OutputError, match=r"has 居 里 夫 人 and 1 more, .*install Noto Sans CJK"):
        fonts.check_fonts("a␣居里夫人居。", "png")


def test_letters_and_the_signs_for_whitespace_can_be_drawn():
    assert fonts.missing_characters("Aé ␣⏎⇥ e\u0301") == ""


def test_a_notebook_shows_the_picture_without_a_network():
    bundle = picture()._repr_mimebundle_()
    assert list(bundle) == ["text/plain", "text/html", "image/svg+xml", "image/png"]
    assert bundle["text/plain"] == (
        "SpacingPicture('How known spaces this text', 2 characters, 1 row, scale 'layer-mean', colour 'gap')"
    )
    assert "mountAll" in bundle["text/html"]
    assert "http" not in bundle["text/html"].replace("http://www.w3.org/2000/svg", "")
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")
    assert "image/png" not in picture(f"a{NOWHERE}")._repr_mimebundle_()


def test_pages_are_small():
    assert len(picture("Marie Curie, a Polish-born physicist, won two Nobel Prizes.").render("html")) < 80_000
    assert len(picture("A sentence of two thousand letters in all. " * 47).render("html")) < 600_000
