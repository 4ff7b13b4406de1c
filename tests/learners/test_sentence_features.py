from __future__ import annotations

import subprocess
import sys

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from learners.sentence import embed, remember
from learners.sentence_features import SCALE, SENTENCE, WIDTH, Heard, sentence_features, sentence_width
from learners.settings import Encoder, LearningSettings

TEXTS = st.sampled_from(["Why?", "it is twelve", "So it is twelve.", ""])
HEARD = st.lists(st.builds(Heard, TEXTS, st.none() | TEXTS, st.none() | TEXTS), max_size=6)


@settings(deadline=None)
@given(HEARD)
def test_an_example_has_the_same_bytes_alone_and_among_others(heard: list[Heard]) -> None:
    together = sentence_features(heard)
    assert together.shape == (len(heard), SENTENCE)
    for position, one in enumerate(heard):
        assert sentence_features([one])[0].tobytes() == together[position].tobytes()


def test_features_are_the_three_vectors_and_the_product_of_the_first_two() -> None:
    said = Heard("So it is twelve.", student="it is twelve", last="Why?")
    now, student, last = embed(["So it is twelve.", "it is twelve", "Why?"])
    expected = np.concatenate((now, student, last, now * student * WIDTH**0.5)) * SCALE
    np.testing.assert_allclose(sentence_features([said])[0], expected, rtol=1e-6)


def test_what_nobody_said_is_zero_and_so_is_its_product() -> None:
    found = sentence_features([Heard("Why?", student=None, last=None)]).reshape(4, WIDTH)
    assert found.any(axis=1).tolist() == [True, False, False, False]


def test_a_remembered_vector_is_what_is_said_of_its_text() -> None:
    vector = np.arange(WIDTH, dtype=np.float32)
    remember(["a text that no other test reads"], vector[None])
    assert (embed(["a text that no other test reads"])[0] == vector).all()


def test_neither_torch_nor_the_encoder_is_loaded_before_a_sentence_is_read() -> None:
    script = "import sys, learners.sentence_features; print({'torch', 'tokenizers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_an_example_has_these_features_where_the_settings_ask_for_them_only() -> None:
    encoders: list[Encoder] = ["ngram", "ngram+sentence"]
    widths = [sentence_width(LearningSettings(encoder=encoder)) for encoder in encoders]
    assert widths == [0, SENTENCE]
