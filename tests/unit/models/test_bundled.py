from pathlib import Path

import pytest

from howfar.models.bundled import CHINESE_NAME, DEFAULT_NAME, bundled_models, model_for


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("清晨的北京下着小雨，李明骑着自行车去图书馆。", CHINESE_NAME),
        ("他在GitHub上写代码写了三年。", CHINESE_NAME),
        ("她在 GitHub 上提交了 pull request", DEFAULT_NAME),
        ("The word 图书馆 means library.", DEFAULT_NAME),
        ("图a", DEFAULT_NAME),
        ("图", CHINESE_NAME),
        ("2024年", CHINESE_NAME),
        ("ひらがなとカタカナ", DEFAULT_NAME),
        ("", DEFAULT_NAME),
        ("1 + 1", DEFAULT_NAME),
    ],
)
def test_the_model_follows_the_script(text: str, name: str) -> None:
    assert model_for(text) == name


def test_the_models_that_are_chosen_are_there_and_small() -> None:
    models = {model.name: model for model in bundled_models()}
    assert {DEFAULT_NAME, CHINESE_NAME} <= models.keys()
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
