from pathlib import Path

import pytest

from howfar.errors import ModelNotFoundError
from howfar.models.bundled import DEFAULT_NAME, bundled_models, named_models
from howfar.models.folders import find_model


def test_the_default_model_comes_first_and_all_are_small() -> None:
    models = {model.name: model for model in bundled_models()}
    assert next(iter(models)) == DEFAULT_NAME
    for model in models.values():
        assert model.description
        assert model.data
        assert model.licence == "apache-2.0"
        assert model.held_out_nats_per_byte is not None
    assert sum(model.num_bytes for model in models.values()) < 45e6


def test_nothing_of_where_they_were_trained_is_in_them() -> None:
    for model in bundled_models():
        for file in sorted({*model.folder.glob("*.json")} - {model.folder / "tokenizer.json"}):
            said = file.read_text(encoding="utf-8")
            assert "/" not in said.replace("</", ""), file
        assert str(Path.home()) not in (model.folder / "card.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["bilingual-per-laye", Path("bilingual-per-laye")])
def test_a_misspelt_name_is_answered_with_the_right_one(name: str | Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"'bilingual-per-laye'.*; did you mean bilingual-per-layer\?"):
        find_model(name)


def test_visitors_see_short_names_that_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert named_models(["a/tiny", "b/tiny/", "owner/model", "a/tiny"]) == {
        "tiny": "a/tiny",
        "tiny (2)": "b/tiny/",
        "model": "owner/model",
    }
    (tmp_path / "final").mkdir()
    monkeypatch.chdir(tmp_path / "final")
    assert named_models([".", "../final"]) == {"final": ".", "final (2)": "../final"}
    assert list(named_models([])) == [model.name for model in bundled_models()]
