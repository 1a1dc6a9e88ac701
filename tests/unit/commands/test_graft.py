"""`howfar graft` from end to end, on a tiny pretrained Llama; and every bad input is one line and leaves nothing."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig,
    BertModel,
    BloomConfig,
    BloomForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
)

from howfar.models.loading import load
from howfar.models.manifest import MANIFEST_FILE
from howfar.positions import IncrementConfig, attach, increments_of, override
from support.grafts import make_base, make_gguf, make_text

SMALL = ["--set", "trainer.per_device_train_batch_size=2", "--set", "trainer.use_cpu=true", "--context", "16"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base") / "tiny-llama")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_text(tmp_path_factory.mktemp("text")))


def losses(printed: str) -> dict[str, float]:
    """Nats per byte by what they are said to be of."""
    return {name: float(nats) for nats, name in re.findall(r"^([\d.]+) nats per byte, (.*)$", printed, re.MULTILINE)}


@pytest.mark.parametrize("train", ["increments", "lora"])
@pytest.mark.parametrize("scope", ["shared", "per_layer"])
def test_a_model_is_grafted_and_looked_at(run, base: Path, text: str, tmp_path: Path, train: str, scope: str) -> None:
    arguments = [str(base), "--text", text, "--train", train, "--scope", scope, "--steps", "3", "--baseline", *SMALL]
    fast = ["--set", "increment_learning_rate=0.1", "--set", "trainer.warmup_steps=0"]
    code, out, err = run("graft", *arguments, *fast, "-o", "out")
    assert code == 0, err
    said = losses(out)
    lora_baseline = {"trained alike, plain positions"} if train == "lora" else set()
    assert said.keys() == {"base model", "with learned increments"} | lora_baseline
    assert len(set(said.values())) == len(said)
    assert "howfar show --model out" in out
    assert increments_of(load(tmp_path / "out")).config.scope == scope
    assert (tmp_path / "out" / "howfar_adapter.safetensors").is_file() == (train == "lora")
    recipe = json.loads((tmp_path / "out" / "training.json").read_text())["recipe"]
    assert (recipe["train"], recipe["trainer"]["max_steps"], recipe["context"]) == (train, 3, 16)

    code, out, err = run("show", "the cat 猫", "--model", "out", "--json")
    assert code == 0, err
    first, second, _ = json.loads(out)["increments"]
    assert (first == second) == (scope == "shared")


@pytest.mark.skipif(
    "HOWFAR_PRETRAINED" not in os.environ, reason="HOWFAR_PRETRAINED names no pretrained model's folder"
)
@pytest.mark.parametrize("scope", ["shared", "per_layer"])
def test_a_pretrained_model_goes_from_the_identity_to_trained(run, tmp_path: Path, scope: str) -> None:
    """On the text of a licence, which is nothing like what a small model was trained on."""
    pretrained = os.environ["HOWFAR_PRETRAINED"]
    text = ["--text", str(Path(__file__).parents[3] / "LICENSE"), "--scope", scope, "-o", "out"]
    options = ["trainer.use_cpu=true", "trainer.warmup_steps=5", "increment_learning_rate=0.03"]
    settings = [part for option in options for part in ("--set", option)]
    code, out, err = run("graft", pretrained, *text, "--steps", "40", "--context", "64", *settings)
    assert code == 0, err
    assert losses(out)["with learned increments"] < losses(out)["base model"]
    trained, base = load(tmp_path / "out"), load(pretrained)
    token_ids = torch.arange(3, 43).view(2, 20)
    with torch.no_grad():
        expected = base(token_ids).logits
        with override(trained, lambda layer, increments: torch.ones_like(increments)):
            assert torch.equal(trained(token_ids).logits, expected)
        assert not torch.equal(trained(token_ids).logits, expected)
    attach(base, IncrementConfig(scope=scope))
    with torch.no_grad():
        assert torch.equal(base(token_ids).logits, expected)


def test_the_identity_scores_as_the_base_does_and_the_same_command_carries_on(run, base: Path, text: str) -> None:
    graft = ["graft", str(base), "--text", text, "-o", "out", "--set", "increment_learning_rate=0.0", *SMALL]
    code, out, err = run(*graft, "--steps", "2")
    assert code == 0, err
    assert losses(out)["with learned increments"] == losses(out)["base model"]
    code, out, _ = run(*graft, "--steps", "4")
    assert code == 0
    assert json.loads(Path("out/training.json").read_text())["step"] == 4
    assert losses(out)["with learned increments"] == losses(out)["base model"]


def test_a_recipe_says_it_all(run, base: Path, text: str, tmp_path: Path) -> None:
    assert run("corpus", "build", "made", "--source", text, "--tokenizer", str(base))[0] == 0
    recipe = f"""
        name = "mine"
        base = {json.dumps(str(base))}
        corpus = "made"
        train = "lora"
        context = 16
        [increments]
        scope = "per_layer"
        [lora]
        r = 2
        [trainer]
        max_steps = 2
        per_device_train_batch_size = 2
        use_cpu = true
    """
    (tmp_path / "mine.toml").write_text(recipe, encoding="utf-8")
    code, _, err = run("graft", "--recipe", "mine.toml")
    assert code == 0, err
    record = json.loads((tmp_path / "runs" / "mine" / "training.json").read_text())
    assert record["recipe"]["train"] == "lora"
    assert record["step"] == 2
    code, _, err = run("graft", "--recipe", "mine.toml", "--scope", "shared")
    assert code == 2
    assert "holds a run with another increments" in err


def a_gguf(base: Path, folder: Path) -> str:
    return str(make_gguf(base, folder / "tiny.v2.gguf"))


def without_end_of_text(base: Path, folder: Path) -> str:
    return str(make_base(folder / "endless", end_of_text=False))


def publish(model: PreTrainedModel, base: Path, folder: Path) -> str:
    """Save a model with the base's tokenizer."""
    model.save_pretrained(folder / "published")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(base / name, folder / "published")
    return str(folder / "published")


def learned_absolute_positions(base: Path, folder: Path) -> str:
    return publish(GPT2LMHeadModel(GPT2Config(vocab_size=320, n_embd=16, n_layer=1, n_head=2)), base, folder)


def without_tokenizer(base: Path, folder: Path) -> str:
    shutil.copytree(base, folder / "dumb", ignore=shutil.ignore_patterns("tokenizer*"))
    return str(folder / "dumb")


def cut_short(base: Path, folder: Path) -> str:
    shutil.copytree(base, folder / "cut")
    weights = folder / "cut" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    return str(folder / "cut")


def pickled(base: Path, folder: Path) -> str:
    shutil.copytree(base, folder / "pickled")
    (folder / "pickled" / "model.safetensors").rename(folder / "pickled" / "pytorch_model.bin")
    return str(folder / "pickled")


def alibi(base: Path, folder: Path) -> str:
    return publish(BloomForCausalLM(BloomConfig(vocab_size=320, hidden_size=16, n_layer=1, n_head=2)), base, folder)


def a_bare_encoder(base: Path, folder: Path) -> str:
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    return publish(BertModel(BertConfig(vocab_size=320, **sizes)), base, folder)


def an_unknown_architecture(base: Path, folder: Path) -> str:
    shutil.copytree(base, folder / "unknown")
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    (folder / "unknown" / "config.json").write_text(json.dumps({**config, "model_type": "mystery"}), encoding="utf-8")
    return str(folder / "unknown")


def the_base(base: Path, folder: Path) -> str:
    return str(base)


def test_a_gguf_file_is_grafted_under_its_own_name(run, base: Path, text: str, tmp_path: Path) -> None:
    code, out, err = run("graft", a_gguf(base, tmp_path), "--text", text, "--steps", "1", *SMALL)
    assert code == 0, err
    assert "howfar show --model runs/graft-tiny.v2-increments" in out


Model = Callable[[Path, Path], str]


@pytest.mark.parametrize(
    ("model", "options", "said"),
    [
        (lambda *_: "owner/model", [], "the Hub is not used in offline mode"),
        (lambda *_: "./missing", [], "there is no folder './missing'"),
        (lambda *_: "missing.gguf", [], "there is no file 'missing.gguf'"),
        (without_end_of_text, [], "no end-of-sequence token"),
        (learned_absolute_positions, [], "GPT2LMHeadModel has no rotary positions"),
        (alibi, [], "BloomForCausalLM has no rotary positions"),
        (a_bare_encoder, [], "published holds a BertModel, which lacks the output layer"),
        (an_unknown_architecture, [], "(model_type 'mystery'): The checkpoint you are trying to load has model type"),
        (lambda *_: "bilingual-rope", [], "bilingual-rope is a model that howfar trained from scratch"),
        (without_tokenizer, [], "has no tokenizer that can be read"),
        (cut_short, [], "is damaged or truncated"),
        (pickled, [], "are pickled (pytorch_model.bin)"),
        (the_base, ["--context", "100000"], "give more text or shorten"),
        (the_base, ["--text", "nowhere.txt"], "nowhere.txt"),
        (the_base, ["--recipe", "missing.toml"], "there is no recipe 'missing.toml'"),
        (the_base, ["--set", "corpus=other"], "--set corpus and --text are both given; give one of them"),
        (the_base, ["--set", "context=many"], "context is 'many'; it must be a whole number"),
        (the_base, ["--set", "increments.scop=shared"], "did you mean 'scope'"),
        (the_base, ["--set", "increments.angles=float64"], "decoder layer 0 is the first that differs"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    run, base: Path, text: str, tmp_path: Path, model: Model, options: list[str], said: str
) -> None:
    name = model(base, tmp_path)
    before = set(tmp_path.iterdir())
    code, _, err = run("graft", name, "--text", text, "--steps", "1", *options)
    assert code == 2
    assert err.startswith("error: ")
    assert said in err
    assert err.count("\n") == 1
    assert set(tmp_path.iterdir()) == before


def test_a_graft_is_written_neither_into_its_base_nor_among_other_files(
    run, base: Path, text: str, tmp_path: Path
) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "README.md").write_text("mine", encoding="utf-8")
    own, before = sorted(base.iterdir()), sorted(tmp_path.rglob("*"))
    graft = ["graft", str(base), "--text", text, "--steps", "1", *SMALL, "-o"]
    for output, said in (
        (str(base), "is the base model's own folder; choose another output folder"),
        ("notes", "notes holds files but no run; choose another output folder"),
        ("notes/README.md", "notes/README.md cannot be created"),
        ("notes/README.md/x", "cannot be created (Not a directory); name another one"),
    ):
        code, _, err = run(*graft, output)
        assert (code, err.count("\n")) == (2, 1)
        assert said in err
    assert (sorted(base.iterdir()), sorted(tmp_path.rglob("*"))) == (own, before)


def test_a_corpus_of_other_tokens_is_refused(run, base: Path, text: str, tmp_path: Path) -> None:
    assert run("corpus", "build", "of-bytes", "--source", text)[0] == 0
    code, _, err = run("graft", str(base), "--corpus", "of-bytes", "--steps", "1", *SMALL, "-o", "out")
    assert (code, err.count("\n")) == (2, 1)
    assert "the corpus in of-bytes is tokenized by 'bytes', but the model has other tokens; build it with" in err
    assert not (tmp_path / "out").exists()


def test_too_short_a_text_leaves_room_for_a_longer_one(run, base: Path, text: str, tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text("the cat\n\na dog\n\nold trees", encoding="utf-8")
    graft = ["graft", str(base), "-o", "out", "--steps", "1", *SMALL]
    code, _, err = run(*graft, "--text", "short.txt")
    assert (code, err.count("\n")) == (2, 1)
    assert "one window needs 16; give more text or shorten" in err
    assert run(*graft, "--text", text)[0] == 0


def test_a_text_of_one_document_has_no_held_out_loss_and_it_is_said(run, base: Path, tmp_path: Path) -> None:
    words = "the cat sat on a mat and looked at birds near old trees " * 20
    (tmp_path / "one.txt").write_text(words, encoding="utf-8")
    (tmp_path / "two.txt").write_text(f"{words}\n\nsmall dogs slept in warm grass", encoding="utf-8")
    (tmp_path / "few.txt").write_text(f"small dogs slept in warm grass\n\n{words}", encoding="utf-8")
    for text, has_loss in (("one.txt", False), ("two.txt", False), ("few.txt", True)):
        code, out, err = run("graft", str(base), "--text", text, "-o", f"of-{text}", "--steps", "1", *SMALL)
        assert code == 0, err
        assert ("No loss was measured: no document is held out." in out) != has_loss
        assert bool(losses(out)) == has_loss


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "needs a pretrained model and text"),
        (["owner/model"], "needs a pretrained model and text"),
        (["owner/model", "--corpus", "a", "--text", "b"], "--corpus and --text are both given"),
        (["--recipe", "graft-lora"], "'corpus' is missing; a recipe needs at least name and corpus and base"),
        (["owner/model", "--corpus", "nowhere"], "nowhere"),
        (["owner/model", "--text", "t", "--scope", "sharred"], "'sharred' is not one of 'shared', 'per_layer'; see"),
        (["owner/model", "--text", "t", "--train", "lore"], "'lore' is not one of 'increments', 'lora', 'full'; see"),
        (["owner/model", "--text", "t", "--step", "3"], "No such option: --step (Possible options: --set, --steps"),
    ],
)
def test_what_is_missing_is_said(run, tmp_path: Path, arguments: list[str], said: str) -> None:
    code, _, err = run("graft", *arguments)
    assert (code, err.count("\n")) == (2, 1)
    assert said in err
    assert list(tmp_path.iterdir()) == []


def another_base(graft: Path, base: Path) -> None:
    shutil.rmtree(base)
    make_base(base, seed=1)


def a_tensor_more(graft: Path, base: Path) -> None:
    tensors = load_file(graft / "increments.safetensors")
    save_file({**tensors, "more": tensors["shared.output.bias"].clone()}, graft / "increments.safetensors")


def a_tensor_less(graft: Path, base: Path) -> None:
    tensors = load_file(graft / "increments.safetensors")
    del tensors["shared.output.bias"]
    save_file(tensors, graft / "increments.safetensors")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (another_base, "is not the model that was grafted in out"),
        (a_tensor_more, "more is left over"),
        (a_tensor_less, "shared.output.bias is missing"),
        (lambda graft, base: shutil.rmtree(base), "the base model of the graft in out is missing"),
    ],
)
def test_a_graft_that_does_not_fit_is_not_shown(
    run, base: Path, text: str, tmp_path: Path, spoil: Callable[[Path, Path], None], said: str
) -> None:
    own = shutil.copytree(base, tmp_path / "base")
    assert run("graft", str(own), "--text", text, "-o", "out", "--steps", "1", *SMALL)[0] == 0
    spoil(tmp_path / "out", own)
    (tmp_path / "out" / MANIFEST_FILE).unlink()  # which would say that a file was changed, and not what is wrong in it
    code, _, err = run("show", "the cat", "--model", "out")
    assert (code, err.count("\n")) == (2, 1)
    assert said in err
    assert not (tmp_path / "howfar.html").exists()
