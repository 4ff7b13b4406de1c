"""Whom to trust: learned from agreement with what the model said then and with what other raters say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learners.trust import Trust, TrustSettings
from schemas.errors import ConfigurationError
from schemas.prediction import Output

CLASSES = ("none", "closed", "open")
RIGHT = {"ann": 0.92, "bob": 0.92, "cem": 0.92, "dan": 0.5}


def predicted(truth: str, sure: float = 0.84) -> Output:
    """A model that is ``sure`` of the truth, and finds every other class as likely."""
    rest = (1 - sure) / (len(CLASSES) - 1)
    return Output(probabilities={name: sure if name == truth else rest for name in CLASSES})


KNOWS_NOTHING = predicted("none", 1 / len(CLASSES))


def judged(seed: int, labels: int, right: Mapping[str, float] = RIGHT) -> Iterator[tuple[str, str, str]]:
    """Rater, label and truth of each item; a rater errs towards any other class."""
    draw = Random(seed)
    for _ in range(labels):
        truth, rater = draw.choice(CLASSES), draw.choice(sorted(right))
        wrong = draw.random() >= right[rater]
        yield rater, draw.choice([name for name in CLASSES if name != truth]) if wrong else truth, truth


def taught(seed: int, labels: int = 3_000, right: Mapping[str, float] = RIGHT, sure: float = 0.84) -> Trust:
    trust = Trust()
    for rater, label, truth in judged(seed, labels, right):
        trust.update(rater, "question", label, predicted(truth, sure))
    return trust


@pytest.mark.parametrize("seed", range(3))
def test_a_careless_rater_weighs_less_than_half_of_the_others(seed: int) -> None:
    trust = taught(seed)
    assert trust.weight("dan") < 0.5 * min(trust.weight(rater) for rater in ("ann", "bob", "cem"))


@pytest.mark.parametrize("seed", range(3))
def test_reliabilities_are_those_that_the_raters_have(seed: int) -> None:
    """A window of 500 labels estimates a share of .5 with a standard error below .025."""
    trust = taught(seed)
    assert all(trust.reliability(rater) == pytest.approx(share, abs=0.1) for rater, share in RIGHT.items())


def test_a_model_that_knows_nothing_teaches_nothing() -> None:
    trust = Trust()
    for rater, label, _ in judged(0, 500):
        trust.update(rater, "question", label, KNOWS_NOTHING)
    assert all(trust.reliability(rater) == pytest.approx(trust.settings.prior) for rater in RIGHT)


def test_raters_are_told_apart_by_one_another_where_the_model_knows_nothing() -> None:
    trust, draw = Trust(), Random(0)
    for _ in range(1_200):
        truth, said = draw.choice(CLASSES), dict[str, str]()
        for rater in draw.sample(sorted(RIGHT), 3):
            wrong = draw.random() >= RIGHT[rater]
            label = draw.choice([name for name in CLASSES if name != truth]) if wrong else truth
            trust.update(rater, "question", label, KNOWS_NOTHING, dict(said))
            said[rater] = label
    assert trust.weight("dan") < 0.5 * min(trust.weight(rater) for rater in ("ann", "bob", "cem"))


def test_a_second_rater_s_word_changes_what_is_thought_of_the_first() -> None:
    agreed, contradicted = Trust(), Trust()
    for trust, second in ((agreed, "open"), (contradicted, "none")):
        trust.update("ann", "question", "open", KNOWS_NOTHING)
        trust.update("bob", "question", second, KNOWS_NOTHING, {"ann": "open"})
    assert agreed.reliability("ann") > agreed.settings.prior > contradicted.reliability("ann")


@pytest.mark.parametrize("right", [1.0, 0.6, 0.4])
def test_a_single_rater_weighs_one_however_little_the_model_agrees(right: float) -> None:
    assert taught(0, 500, {"ann": right}).weight("ann") == pytest.approx(1.0)


def test_a_rater_of_whom_nothing_is_known_counts_as_all_together_do() -> None:
    trust = taught(0)
    assert trust.weight("never heard") == pytest.approx(1.0, abs=0.01)
    assert "never heard" not in trust.counts


def test_a_rater_who_becomes_careful_is_trusted_again() -> None:
    trust = taught(0)
    for rater, label, truth in judged(1, 6_000, dict.fromkeys(RIGHT, 0.92)):
        trust.update(rater, "question", label, predicted(truth))
    assert trust.weight("dan") > 0.9


@pytest.mark.parametrize(
    ("label", "output"),
    [("open", None), ("open", Output(value=1.0)), (3.0, KNOWS_NOTHING), (("open",), KNOWS_NOTHING),
     ("else", KNOWS_NOTHING), ("open", Output(probabilities={"open": 1.0}))],
)  # fmt: skip
def test_what_no_class_was_predicted_of_is_no_evidence(label: str | float | tuple[str, ...], output: Output) -> None:
    trust = Trust()
    trust.update("ann", "question", label, output)
    assert trust.counts == {}


SHARES = st.fixed_dictionaries(dict.fromkeys(CLASSES, st.floats(0, 1)))
LABELS = st.tuples(
    st.sampled_from("abcde"),
    st.sampled_from(CLASSES),
    SHARES,
    st.dictionaries(st.sampled_from("xyz"), st.sampled_from(CLASSES)),
)


@given(st.lists(LABELS, max_size=30), st.integers(0, 30))
def test_weights_stay_between_floor_and_one_and_bytes_restore_everything(
    labels: list[tuple[str, str, dict[str, float], dict[str, str]]], cut: int
) -> None:
    settings = TrustSettings(raters=4, idle=5)
    stays = Trust(settings)
    for at, (rater, label, shares, others) in enumerate(labels):
        if at == cut:
            moved = Trust.from_bytes(stays.to_bytes(), settings)
            assert (moved.counts, moved.total) == (stays.counts, stays.total)
            stays = moved
        stays.update(rater, "question", label, Output(probabilities=shares), others)
        assert len(stays.counts) <= settings.raters
        assert all(settings.floor <= stays.weight(name) <= 1 for name in "abcdexyz")


def test_invented_raters_drive_out_no_active_one_and_take_the_places_of_silent_ones() -> None:
    trust = Trust(TrustSettings(raters=2, idle=10))
    for rater in ("ann", "bob"):
        trust.update(rater, "question", "open", predicted("open"))
    for n in range(9):
        trust.update(f"invented-{n}", "question", "open", predicted("open"))
    assert set(trust.counts) == {"ann", "bob"}
    for n in range(12):
        trust.update("ann" if n % 2 else "eve", "question", "open", predicted("open"))
    assert set(trust.counts) == {"ann", "eve"}


@pytest.mark.parametrize("wrong", [{"floor": 2.0}, {"prior": 1.0}, {"strength": 0.0}, {"window": 0.5}])
def test_settings_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError):
        TrustSettings(**wrong)  # type: ignore[arg-type]  # floats only
