"""The token that stands before a text: commands say which it is, and let it be chosen."""

import json
from pathlib import Path

import pytest

import howfar
from howfar.corpus.corpus import Corpus
from howfar.models.loading import tokenizer_of
from howfar.text.marks import choose_mark, document_mark, unusual_mark
from support.grafts import make_base, make_text

from .conftest import Run


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base") / "base")


def test_a_chosen_mark_holds_wherever_the_tokenizer_is_used(base: Path) -> None:
    model = howfar.load(base)
    tokenizer = tokenizer_of(model)
    assert unusual_mark(tokenizer) == "<|endoftext|>", "it does not begin a text by itself"
    for written, token_id in (("!", tokenizer.convert_tokens_to_ids("!")), ("300", 300)):
        choose_mark(tokenizer, written)
        assert howfar.trace(model, "a cat").mark == document_mark(tokenizer) == token_id
        assert unusual_mark(tokenizer) == tokenizer.convert_ids_to_tokens(token_id)
    assert howfar.trace(model, "a cat", mark="a").mark != document_mark(tokenizer), "that of a call comes first"


def test_show_says_an_unusual_mark_and_lets_it_be_chosen(run: Run, base: Path, model_folder: Path) -> None:
    numbers = []
    for options, said in (([], "<|endoftext|>; --mark names another"), (["--mark", "!"], "behind the mark !\n")):
        code, output, errors = run("show", "--json", "a cat", "-m", str(base), *options)
        assert code == 0
        assert said in errors
        numbers.append(json.loads(output)["surprisal_nats"])
    assert numbers[0] != numbers[1]
    assert "mark" not in run("show", "--json", "a cat", "-m", str(model_folder))[2], "its own is the usual one"
    assert "behind the mark a" in run("show", "--json", "cat", "-m", str(model_folder), "--mark", "a")[2]
    code, _, errors = run("show", "a cat", "-m", str(base), "--mark", "<|nothing|>")
    assert code == 2
    assert "the tokenizer has no token '<|nothing|>' to begin a document with; choose one" in errors


def test_measures_say_it_below_the_table(run: Run, base: Path) -> None:
    model = howfar.load(base)
    howfar.attach(model)
    howfar.save(model, "graft")
    Path("cats.txt").write_text("\n\n".join(f"a cat sat on {n} mats" for n in range(12)))
    for options, mark in (([], "<|endoftext|>"), (["--mark", "!"], "!")):
        code, output, errors = run("measure", "attention", "-m", "graft", "--text", "cats.txt", *options)
        assert code == 0, errors
        assert f"behind the mark {mark} · " in " ".join(output.split())
    code, _, errors = run("measure", "calibration", "--mark", "!")
    assert code == 2
    assert "leave out --mark" in errors


def test_documents_of_a_corpus_are_separated_by_the_chosen_mark(run: Run, base: Path, tmp_path: Path) -> None:
    text = make_text(tmp_path)
    code, output, errors = run("corpus", "build", "c", "--source", str(text), "--tokenizer", str(base), "--mark", "!")
    assert code == 0, errors
    assert "Between documents stands !\n" in output
    corpus = Corpus.open(Path("c"))
    assert corpus.train.tokens[corpus.train.offsets[1] - 1] == tokenizer_of(howfar.load(base)).get_vocab()["!"]
    code, _, errors = run("corpus", "build", "d", "--source", str(text), "--mark", "!")
    assert code == 2
    assert "add --tokenizer, or leave it out" in errors
