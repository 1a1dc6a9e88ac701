"""What the pages for contributors say is so: files and names are where they say, and their code does what they say."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from howfar import load, save
from howfar.models.modeling import HowFarForCausalLM
from howfar.positions import IncrementConfig, attach, increments_of
from howfar.positions.bounds import Bound
from howfar.positions.encodings.encoding import Encoding
from howfar.training import recipe_files
from howfar.training.recipe import Recipe
from support.models import stir, tiny, tokens

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "contributing").glob("*.md"))
PATHS = re.compile(r"`((?:src|tests|docs)/[\w./]+)`")


def code(page: str, language: str) -> str:
    """The first piece of code of a page."""
    found = re.search(
        rf"^```{language}\n(.*?)^```$", (ROOT / "docs" / "contributing" / page).read_text("utf-8"), re.M | re.S
    )
    assert found is not None
    return found[1]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_files_are_where_the_pages_say(page: Path) -> None:
    named = PATHS.findall(page.read_text(encoding="utf-8"))
    assert named
    for path in named:
        assert (ROOT / path).exists() or (ROOT / path.partition("NAME")[0]).is_dir(), path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_files_hold_what_the_pages_say(page: Path) -> None:
    """A row of a table names a file, then in capitals or as a call what lies there."""
    for line in page.read_text(encoding="utf-8").splitlines():
        files = [ROOT / path for path in PATHS.findall(line) if path.endswith(".py") and "NAME" not in path]
        if line.startswith("|") and files:
            defined = {ast.unparse(target) for file in files for target in assigned(file)}
            assert set(re.findall(r"`([A-Z_]{5,})`", line)) <= defined, line


def assigned(file: Path) -> Iterator[ast.expr]:
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            yield from node.targets if isinstance(node, ast.Assign) else [node.target]


def test_every_page_is_in_the_navigation_and_on_the_first_page() -> None:
    navigation, first = ((ROOT / file).read_text("utf-8") for file in ("zensical.toml", "docs/index.md"))
    for page in PAGES:
        assert f"contributing/{page.name}" in navigation
        assert f"contributing/{page.name}" in first


def test_a_bound_is_one_class(tmp_path: Path) -> None:
    known = dict(Bound.known)
    try:
        exec(compile(code("bound.md", "python"), "bound.md", "exec"), {"__name__": "near"})
        assert Bound.known.keys() - known.keys() == {"near"}
        model = tiny()
        model.save_pretrained(tmp_path / "base")
        base, token_ids = load(str(tmp_path / "base")), tokens()
        expected = base(token_ids).logits
        increments = attach(base, IncrementConfig(bound="near"))
        assert torch.equal(base(token_ids).logits, expected)
        stir(increments, scale=2.0)
        save(base, tmp_path / "graft")
        again = load(str(tmp_path / "graft"))
        assert increments_of(again).config.bound == "near"
        assert torch.equal(again(token_ids).logits, base(token_ids).logits)
    finally:
        Bound.known.pop("near", None)


def test_a_recipe_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = code("recipe.md", "toml")
    (tmp_path / "quick-per-layer.toml").write_text(text, encoding="utf-8")
    monkeypatch.setattr(recipe_files, "RECIPES", tmp_path)
    assert recipe_files.bundled_recipes() == ["quick-per-layer"]
    recipe = Recipe.load("quick-per-layer", settings=["max_steps=2"])
    assert (recipe.name, recipe.trainer["max_steps"]) == ("quick-per-layer", 2)
    assert text.startswith("# "), "the line that `howfar recipes` shows"


def test_an_encoding_is_one_class() -> None:
    try:
        exec(compile(code("encoding.md", "python"), "encoding.md", "exec"), {"__name__": "squeezed"})
        settings = ["encoding.name=squeezed", "encoding.factor=4", "model.hidden_size=16", "model.num_hidden_layers=2"]
        recipe = Recipe.load("small-rope", settings=settings)
        model, token_ids = HowFarForCausalLM(recipe.model_config()).eval(), tokens()
        position_ids = torch.arange(token_ids.shape[1])[None]
        expected = model(token_ids, position_ids=4 * position_ids, attention_mask=torch.ones_like(token_ids)).logits
        plain = LlamaForCausalLM(LlamaConfig.from_dict({**model.config.to_dict(), "model_type": "llama"})).eval()
        plain.load_state_dict(model.state_dict())
        torch.testing.assert_close(expected, plain(token_ids, use_cache=False).logits)
    finally:
        Encoding.known.pop("squeezed", None)
