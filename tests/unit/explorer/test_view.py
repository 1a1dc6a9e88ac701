from urllib.parse import parse_qs

import pytest

from howfar.errors import ConfigError, TextError
from howfar.explorer.view import View, view_from_link

MODELS = ("tiny", "other")
DEFAULT = View("default", ("tiny",))


def read(link):
    return view_from_link(parse_qs(link, keep_blank_values=True), DEFAULT, MODELS)


@pytest.mark.parametrize(
    "view",
    [
        DEFAULT,
        View("图书馆 & <b>?=#+%00", ("other", "tiny"), 7, "raw", "entropy", 2, "Attention", 3.0, True),
        View("שלום 👩‍👩‍👧 \n\t\u202e", ("tiny",), factor=0.0),
        View("one", ("tiny",), second_text="<b>two & 二"),
    ],
)
def test_a_link_restores_its_view(view):
    assert read(view.link().removeprefix("?")) == view


def test_what_a_link_does_not_say_stays_and_what_is_not_ours_is_passed_over():
    assert read("at=3&utm_source=x&__class__=y") == View("default", ("tiny",), at=3)


@pytest.mark.parametrize(
    ("link", "message"),
    [
        ("model=/etc/passwd", r"the link asks for '/etc/passwd'; this page shows one or two of tiny, other"),
        ("model=tiny&beside=third", "this page shows one or two"),
        ("at=-1", r"the link's selected character is '-1'; it must be a number from 0 to 1,000,000"),
        ("at=1&at=2", "the link gives at 2 times; give it once"),
        ("layer=nan", "the link's layer is 'nan'; it must be a number"),
        ("factor=inf", "the link's factor is 'inf'; it must be a multiple of 0.05 from 0.0 to 8.0"),
        ("plain=2", "the link's plain is '2'; it must be a number from 0 to 1"),
        ("scale=<script>", "the link's scale is '<script>'; it must be one of layer-mean, raw, shared, contrast"),
        ("colour=", "the link's colour is ''; it must be one of gap, rank, surprisal, entropy, kind"),
        (
            "detail=" + "x" * 100,
            "the link's detail is 'x{40}…'; it must be one of What if, Attention, Numbers, Context",
        ),
    ],
)
def test_a_forged_link_is_refused_with_a_sentence(link, message):
    with pytest.raises(ConfigError, match=message):
        read(link)


def test_too_long_a_text_has_no_link_and_is_refused_in_one():
    assert View("图" * 2000, ("tiny",)).link() is None
    with pytest.raises(TextError, match="the explorer takes at most 50,000"):
        read("text=" + "x" * 50_001)


@pytest.mark.parametrize("name", ["text", "second_text"])
def test_a_link_with_too_long_a_text_is_refused(name):
    with pytest.raises(TextError, match="the text has 60,000 characters, but the explorer takes at most 50,000"):
        read(f"{name}={'x' * 60_000}")
