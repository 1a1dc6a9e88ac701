import numpy as np
import pytest

import howfar
from howfar.errors import NoIncrementsError

TEXT = "Ada wrote 图书馆 in 1843."


def test_attention_is_that_of_the_trace(inference, model_folder):
    expected = howfar.trace(howfar.load(model_folder), TEXT, attention=True).attention
    got = inference.attention("tiny", TEXT, 9)
    assert got.passage.start == 0
    np.testing.assert_allclose(got.weights, expected[:, :, 10, :11], atol=1e-6)
    np.testing.assert_allclose(got.weights.sum(axis=-1), 1, rtol=1e-5)


def test_attention_needs_no_increments(inference):
    assert inference.attention("plain", TEXT, 3).weights.shape == (3, 2, 5)


@pytest.mark.parametrize("token", [0, 6, 20])
def test_alternatives_are_what_full_passes_give(inference, model_folder, token):
    model = howfar.load(model_folder)
    text = "Ada wrote a very short note."
    found = inference.alternatives("tiny", text, token)
    assert found.is_whole_vocabulary
    for candidate in (text[token], "Z", " "):
        replaced = text[:token] + candidate + text[token + 1 :]
        expected = howfar.trace(model, replaced).increments[..., token]
        np.testing.assert_allclose(found.increments[..., ord(candidate)], expected, rtol=1e-4)


def test_ranks_count_from_the_largest(inference):
    found = inference.alternatives("tiny", TEXT, 5)
    ranks = found.ranks()
    own = found.increments[0, 0, found.token_id]
    assert ranks["rank"][0] == 1 + (found.increments[0, 0] > own).sum()
    assert ranks["increment"][0] == own
    assert ranks["candidates"].unique().to_list() == [257]


def test_alternatives_need_increments(inference):
    with pytest.raises(NoIncrementsError, match="has no increments"):
        inference.alternatives("plain", TEXT, 3)
