"""What is said to the model: a change of it is seen without a label, in the part that changed, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learners.population import MOST_MET, Population, PopulationSettings, ShiftSeen
from learners.sketch import FEATURES, NUMBERS, PARTS, WIDTH, Row, hashed, sketch
from schemas.interaction import Payload, Timing
from schemas.prediction import ExampleInput

QUICK = PopulationSettings(pane=25, reference=12, numbers=6, recent=6)
TURN = 1_000  # inputs

Input = Callable[[np.random.Generator], ExampleInput]


def said(text: str = "why is that", audio: object = None, video: object = None, **timing: float) -> ExampleInput:
    heard = tuple(np.asarray(audio).tolist()) if audio is not None else None
    watched = tuple(np.asarray(video).tolist()) if video is not None else None
    payload = Payload(text=text, audio=heard, video=watched)
    return ExampleInput(session="s", role="teacher", payload=payload, timing=Timing(**timing))


def shown(population: Population, make: Input, n: int, seed: int) -> list[ShiftSeen]:
    draw = np.random.default_rng(seed)
    return [seen for k in range(n) for seen in population.update(f"{seed}-{k}", sketch(make(draw)))]


def talk(words: int) -> Input:
    return lambda draw: said(" ".join(f"w{k}" for k in draw.integers(0, words, 8)))


def together(turned: bool) -> Input:
    """Audio and video that say the same; turned, the same in other directions: each alone is as it was."""

    def make(draw: np.random.Generator) -> ExampleInput:
        z = draw.normal(size=4)
        heard = np.array([z[1], -z[0], z[3], -z[2]]) if turned else z
        return said(audio=heard + 0.3 * draw.normal(size=4), video=z + 0.3 * draw.normal(size=4))

    return make


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_seen_where_nothing_changes(seed: int) -> None:
    assert shown(Population(QUICK), talk(50), 1_500, seed) == []


def test_other_words_are_seen_and_the_examples_that_show_it_are_of_the_change() -> None:
    population = Population(QUICK)
    assert shown(population, talk(50), TURN, 1) == []
    found = shown(population, lambda draw: said(" ".join(f"v{k}" for k in draw.integers(0, 5, 8))), 200, 2)
    assert (found[0].part, found[0].detector) == ("words", "mmd")
    assert TURN < found[0].n <= TURN + 100
    assert found[0].p <= QUICK.alpha
    assert all(id_.startswith("2-") for id_ in found[0].telling)


def test_how_two_modalities_go_together_is_seen_though_each_alone_stays_as_it_was() -> None:
    population = Population(QUICK)
    assert shown(population, together(turned=False), TURN, 1) == []
    assert {seen.part for seen in shown(population, together(turned=True), 300, 2)} == {"audio with video"}


def test_a_number_that_changed_is_named_with_its_means_before_and_after() -> None:
    population = Population(QUICK)
    before: Input = lambda draw: said(gap_s=draw.exponential(2.0))  # noqa: E731
    after: Input = lambda draw: said(gap_s=draw.exponential(8.0))  # noqa: E731
    assert shown(population, before, TURN, 1) == []
    (seen,) = shown(population, after, 200, 2)
    assert (seen.part, seen.detector) == ("gap_s", "ks")
    assert seen.before == pytest.approx(np.log1p(np.random.default_rng(0).exponential(2.0, 10_000)).mean(), abs=0.15)
    assert seen.after > seen.before


def test_audio_that_is_gone_is_seen() -> None:
    population = Population(QUICK)
    assert shown(population, together(turned=False), TURN, 1) == []
    assert "audio" in {seen.part for seen in shown(population, lambda draw: said(), 200, 2)}


@settings(max_examples=10, deadline=None)
@given(cut=st.integers(0, 700), seed=st.integers(0, 100))
def test_a_restored_population_goes_on_as_if_never_stored(cut: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    rows = [sketch(together(n > 500)(draw)) for n in range(700)]
    whole, halved, expected, found = Population(QUICK), Population(QUICK), [], []
    for n, row in enumerate(rows):
        halved = Population.from_bytes(halved.to_bytes(), QUICK) if n == cut else halved
        expected += whole.update(str(n), row)
        found += halved.update(str(n), row)
    assert found == expected
    assert halved.to_bytes() == whole.to_bytes()


def test_an_interaction_with_two_labels_is_met_once() -> None:
    population = Population(QUICK)
    assert [population.meets(name) for name in ("a", "b", "a")] == [True, True, False]
    for n in range(MOST_MET):
        population.meets(str(n))
    assert len(population.met) == MOST_MET
    assert Population.from_bytes(population.to_bytes(), QUICK).met == population.met


def test_bytes_that_are_no_population_or_of_another_form_are_refused() -> None:
    with pytest.raises(ValueError, match="no population"):
        Population.from_bytes(b"of another kind")
    with pytest.raises(ValueError, match="form"):
        Population.from_bytes(Population(QUICK).to_bytes())


# Sketches.


def named(row: Row) -> dict[str, float]:
    return dict(zip(NUMBERS, row[PARTS["numbers"]].tolist(), strict=True))


def test_a_sketch_says_how_long_and_what_is_missing() -> None:
    row = sketch(said("one two three", audio=[0.5, 0.25], gap_s=3.0))
    assert row.shape == (WIDTH,)
    assert row[PARTS["audio"]][:2].tolist() == [0.5, 0.25]
    assert np.isnan(row[PARTS["audio"]][2:]).all()
    assert np.isnan(row[PARTS["video"]]).all()
    numbers = named(row)
    assert (numbers["words"], numbers["gap_s"]) == pytest.approx((np.log(4), np.log(4)))
    assert (numbers["audio"], numbers["video"]) == (2, 0)
    assert np.isnan(numbers["clarity"])


def test_words_count_with_a_sign_over_the_root_of_their_number() -> None:
    assert sum(x * x for x in hashed(["why"])) == pytest.approx(1)
    assert sum(x * x for x in hashed(["why"] * 9)) == pytest.approx(9)
    assert hashed([]) == [0.0] * PARTS["words"].stop


@given(st.lists(st.floats(-10, 10), min_size=FEATURES + 1, max_size=200))
def test_a_long_vector_becomes_a_short_one_of_about_its_length(values: list[float]) -> None:
    found = sketch(said(audio=values))[PARTS["audio"]]
    assert not np.isnan(found).any()
    assert sketch(said(audio=values))[PARTS["audio"]].tolist() == found.tolist()
    assert named(sketch(said(audio=values)))["audio"] == len(values)


def test_a_number_too_large_for_32_bits_stops_no_comparison() -> None:
    """An infinite one has no mean, and moments without one no principal directions: curate would crash for ever."""
    population = Population(QUICK)
    shown(population, lambda draw: said(audio=(1e300 if draw.random() < 0.01 else 0.5, draw.normal())), 1_000, seed=1)
    assert population.parts["audio"].reference is not None
    assert np.isfinite(population.parts["audio"].reference.m2).all()
