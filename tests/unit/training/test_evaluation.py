import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from howfar.corpus.corpus import Corpus, Split
from howfar.errors import CorpusError
from howfar.models.configuration import HowFarConfig
from howfar.models.modeling import HowFarForCausalLM
from howfar.training.evaluation import DocumentLosses, document_losses

LENGTH = 32


class Uniform(nn.Module):
    """Finds every token equally likely."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.embeddings = nn.Embedding(257, 1)

    def get_input_embeddings(self) -> nn.Embedding:
        return self.embeddings

    def forward(self, input_ids: Tensor, **_: object) -> SimpleNamespace:
        return SimpleNamespace(logits=self.weight.expand(*input_ids.shape, 257).clone())


def split_of(texts: list[bytes], sources: list[int], bytes_per_token: int = 1) -> Split:
    tokens = [256]
    offsets = [1]
    for text in texts:
        tokens += [*text, 256]
        offsets.append(len(tokens))
    return Split(
        "held_out",
        np.array(tokens, dtype=np.uint16),
        np.array(offsets, dtype=np.uint64),
        np.array(sources, dtype=np.uint16),
        np.array([len(text) * bytes_per_token for text in texts], dtype=np.uint64),
        ("en", "zh"),
    )


@pytest.fixture
def model() -> HowFarForCausalLM:
    torch.manual_seed(0)
    config = HowFarConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, increments={}
    )
    return HowFarForCausalLM(config).eval()


def test_each_byte_is_scored_once() -> None:
    texts = [b"a", b"b" * (LENGTH - 1), b"c" * LENGTH, b"d" * 100, b"e" * 333]
    losses = document_losses(Uniform(), split_of(texts, [0, 1, 0, 1, 1]), length=LENGTH, batch_size=3)
    lengths = np.array([len(text) for text in texts])
    np.testing.assert_array_equal(losses.num_bytes, lengths)
    np.testing.assert_allclose(losses.nats, lengths * math.log(257), rtol=1e-6)
    assert losses.nats_per_byte == pytest.approx(math.log(257), rel=1e-6)
    assert losses.bits_per_byte == pytest.approx(math.log2(257), rel=1e-6)


def test_losses_equal_a_naive_loop(model: HowFarForCausalLM) -> None:
    texts = [b"one document", b"another, which is longer than the window is, by a half of it", b"short"]
    split = split_of(texts, [0, 0, 1])
    losses = document_losses(model, split, length=LENGTH, batch_size=2)
    for text, nats in zip(texts, losses.nats, strict=True):
        expected, scored = 0.0, 0
        while scored < len(text):
            # Later windows begin with a sixth of a window as context; the last one is full.
            first = 0 if scored == 0 else min(scored + 1 - LENGTH // 6, len(text) + 1 - LENGTH)
            window = [256, *text][first : first + LENGTH]
            log_probabilities = model(torch.tensor([window])).logits[0].double().log_softmax(-1)
            for place in range(scored - first + 1, len(window)):
                expected -= log_probabilities[place - 1, window[place]].item()
                scored += 1
        assert nats == pytest.approx(expected, rel=1e-5)


def test_losses_are_told_by_source() -> None:
    losses = DocumentLosses(np.array([6.0, 1.0, 2.0]), np.array([2.0, 1.0, 1.0]), np.array([0, 2, 2]), ("a", "b", "c"))
    assert losses.nats_per_byte_by_source() == {"a": 3.0, "c": 1.5}


def test_bytes_and_tokens_are_told_apart() -> None:
    losses = document_losses(Uniform(), split_of([b"abcd"], [0], bytes_per_token=3), length=LENGTH)
    assert losses.nats_per_byte == pytest.approx(math.log(257) / 3, rel=1e-6)


def test_a_glance_sees_all_sources_and_counts_what_it_scored() -> None:
    split = split_of([b"a" * 1000] * 5 + [b"b" * 200] * 5, [0] * 5 + [1] * 5, bytes_per_token=2)
    losses = document_losses(Uniform(), split, length=LENGTH, max_windows=20)
    assert set(losses.nats_per_byte_by_source()) == {"en", "zh"}
    assert 10 * LENGTH // 2 < losses.num_bytes.sum() <= 2 * 20 * LENGTH
    assert losses.nats_per_byte == pytest.approx(math.log(257) / 2, rel=1e-6)


def test_a_glance_sees_ends_of_documents_as_often_as_their_beginnings() -> None:
    """Every document has two windows, so every second window would be a first one."""
    num_documents, num_bytes = 200, LENGTH + LENGTH // 2
    split = split_of([b"a" * num_bytes] * num_documents, [0] * num_documents)
    scored = document_losses(Uniform(), split, length=LENGTH, max_windows=num_documents).num_bytes
    assert (scored < LENGTH - 1).sum() > 0
    assert scored.sum() == pytest.approx(num_documents * num_bytes / 2, rel=0.1)


def test_the_mark_before_a_document_can_be_chosen(model: HowFarForCausalLM) -> None:
    split = split_of([b"one document"], [0])
    usual, other = (document_losses(model, split, length=LENGTH, mark=mark).nats for mark in (None, 7))
    assert usual == document_losses(model, split, length=LENGTH, mark=256).nats
    assert usual != other


def test_the_training_mode_is_restored(model: HowFarForCausalLM) -> None:
    split = split_of([b"one document"], [0])
    for training in (True, False):
        model.train(training)
        model.model.layers[0].eval()  # frozen
        document_losses(model, split, length=LENGTH)
        assert model.training is training
        assert not model.model.layers[0].training


def test_a_corpus_with_nothing_held_out_is_refused(corpus: Corpus) -> None:
    empty = split_of([], [])
    with pytest.raises(CorpusError, match="no held-out documents to evaluate on; build it with some held out"):
        document_losses(Uniform(), empty, length=LENGTH)
