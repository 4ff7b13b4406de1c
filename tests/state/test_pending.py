"""What is spliced is what would be written as a whole."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import encode
from schemas.interaction import Payload, Timing, Turn
from schemas.prediction import ExampleInput, Output, Prediction
from state.pending import Pending, pending_json

SHARES = st.floats(0, 1)
TEXTS = st.text(max_size=20)
TURNS = st.lists(st.builds(Turn, role=st.sampled_from(["teacher", "student"]), text=TEXTS), max_size=3).map(tuple)
SEEN = st.builds(
    ExampleInput,
    session=TEXTS,
    role=st.sampled_from(["teacher", "student", "unknown"]),
    payload=st.builds(Payload, text=TEXTS, context=st.none() | TURNS),
    timing=st.builds(Timing, at_s=st.none() | st.floats(allow_nan=False, allow_infinity=False)),
)
PREDICTIONS = st.builds(
    Prediction,
    session=TEXTS,
    interaction=TEXTS,
    model=TEXTS,
    version=TEXTS,
    outputs=st.dictionaries(TEXTS, st.builds(Output, probabilities=st.dictionaries(TEXTS, SHARES)), max_size=2),
    importance=SHARES,
    reasons=st.dictionaries(TEXTS, SHARES, max_size=2),
)


@given(st.floats(allow_nan=False, allow_infinity=False), SEEN, PREDICTIONS)
def test_a_pending_prediction_is_what_it_was_made_of(time_s: float, seen: ExampleInput, prediction: Prediction) -> None:
    stored = pending_json("0123abcd", time_s, seen, encode(prediction))

    assert Pending.model_validate_json(stored) == Pending(
        digest="0123abcd", time_s=time_s, input=seen, prediction=prediction
    )
