"""The token that stands before a text: commands say which it is, and let it be chosen."""

import json
from pathlib import Path

import pytest

import howfar
from howfar.corpus.corpus import Corpus
from howfar.errors import TextError
from howfar.explorer.inference import Inference
from howfar.measures import neutrality
from howfar.measures.inputs import Inputs
from howfar.models.loading import choose_mark as choose_mark_of
from howfar.models.loading import tokenizer_of
from howfar.models.pretrained import load_tokenizer
from howfar.text.marks import choose_mark, document_mark, unusual_mark
from support.grafts import make_base, make_text

from .conftest import Run


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base") / "base")


@pytest.mark.usefixtures("run")
def test_a_chosen_mark_holds_wherever_the_tokenizer_is_used(base: Path) -> None:
    model = howfar.load(base)
    tokenizer = tokenizer_of(model)
    assert unusual_mark(tokenizer) == "<|endoftext|>", "it does not begin a text by itself"
    for written, token_id in (("!", tokenizer.convert_tokens_to_ids("!")), ("300", 300)):
        choose_mark(tokenizer, written)
        assert howfar.trace(model, "a cat").mark == document_mark(tokenizer) == token_id
        assert unusual_mark(tokenizer) == tokenizer.convert_ids_to_tokens(token_id)
    assert howfar.trace(model, "a cat", mark="a").mark != document_mark(tokenizer), "that of a call comes first"
    howfar.save(model, "saved")
    assert document_mark(tokenizer_of(howfar.load("saved"))) == 300, "it is saved with the tokenizer"


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize("written", ["<|nothing|>", -1, 10**6, 1.5, [3], True])
def test_a_damaged_mark_of_a_saved_tokenizer_is_refused(base: Path, written: object) -> None:
    model = howfar.load(base)
    howfar.save(model, "saved")
    Path("saved/howfar-manifest.json").unlink(missing_ok=True)
    path = Path("saved/tokenizer_config.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"document_mark": written}))
    with pytest.raises(TextError, match=r"has no token .* to begin a document with; choose one of"):
        document_mark(load_tokenizer(Path("saved")))


def test_show_says_an_unusual_mark_and_lets_it_be_chosen(run: Run, base: Path, model_folder: Path) -> None:
    numbers = []
    for options, said in (([], "<|endoftext|>; --mark names another"), (["--mark", "!"], "with the document mark !\n")):
        code, output, errors = run("show", "--json", "a cat", "-m", str(base), *options)
        assert code == 0
        assert said in errors
        numbers.append(json.loads(output)["surprisal_nats"])
    assert numbers[0] != numbers[1]
    assert "mark" not in run("show", "--json", "a cat", "-m", str(model_folder))[2], "its own is the usual one"
    assert "with the document mark a" in run("show", "--json", "cat", "-m", str(model_folder), "--mark", "a")[2]
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
        assert f"with the document mark {mark} · " in " ".join(output.split())
    code, _, errors = run("measure", "calibration", "--mark", "!")
    assert code == 2
    assert "leave out --mark" in errors


def test_documents_of_a_corpus_are_separated_by_the_chosen_mark(run: Run, base: Path, tmp_path: Path) -> None:
    text = make_text(tmp_path)
    code, output, errors = run("corpus", "build", "c", "--source", str(text), "--tokenizer", str(base), "--mark", "!")
    assert code == 0, errors
    assert "Token between documents: !\n" in output
    corpus = Corpus.open(Path("c"))
    assert corpus.train.tokens[corpus.train.offsets[1] - 1] == tokenizer_of(howfar.load(base)).get_vocab()["!"]
    code, _, errors = run("corpus", "build", "d", "--source", str(text), "--mark", "!")
    assert code == 2
    assert "add --tokenizer, or leave it out" in errors


def test_a_graft_of_text_is_trained_and_read_behind_the_chosen_mark(run: Run, base: Path, tmp_path: Path) -> None:
    text = make_text(tmp_path)
    graft = ["graft", str(base), "--text", str(text), "--steps", "1", "--context", "16", "--set", "trainer.bf16=false"]
    code, output, errors = run(*graft, "-o", "grafted", "--mark", "!")
    assert code == 0, errors
    assert "with the document mark !," in output
    wanted = tokenizer_of(howfar.load(base)).get_vocab()["!"]
    assert Corpus.open(Path("grafted/corpus")).end_of_document == wanted
    assert howfar.trace(howfar.load("grafted"), "a cat").mark == wanted
    assert run(*graft, "-o", "grafted")[0] == 2, "it is another corpus"
    code, _, errors = run("graft", str(base), "--corpus", "grafted/corpus", "--mark", "a")
    assert code == 2
    assert "keeps the mark that it was built with; leave out --mark" in errors
    assert run("graft", str(base), "--corpus", "grafted/corpus", *graft[4:], "-o", "again")[0] == 0
    assert howfar.trace(howfar.load("again"), "a cat").mark == wanted, "that of its corpus"


def test_a_report_says_the_mark_of_each_table(run: Run, base: Path) -> None:
    Path("cats.txt").write_text("\n\n".join(f"a cat sat on {n} mats" for n in range(12)))
    report = ["report", str(base), "--text", "cats.txt", "--measure", "attention", "-o", "page.html"]
    for options, mark in (([], "&lt;|endoftext|&gt;"), (["--mark", "!"], "!")):
        code, _, errors = run(*report, *options)
        assert code == 0, errors
        assert f"with the document mark {mark} · " in Path("page.html").read_text()
    assert run(*report, "--mark", "<|nothing|>")[0] == 2


def test_models_to_compare_with_read_behind_the_same_mark(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    monkeypatch.setattr(neutrality, "neutrality", lambda models, against, *_, **__: compared.extend(*against.values()))
    model = howfar.load(base)
    choose_mark_of(model, "!")
    neutrality._run(model, Inputs(texts=["a cat"], against=[str(base)]), None)
    assert document_mark(tokenizer_of(compared[0])) == document_mark(tokenizer_of(model))


def test_the_explorer_reads_behind_the_chosen_mark(base: Path) -> None:
    usual, other = (Inference({"base": str(base)}, mark=mark).trace("base", "a cat").mark for mark in (None, "!"))
    assert usual != other == tokenizer_of(howfar.load(base)).get_vocab()["!"]
