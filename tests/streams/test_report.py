"""The report is one page that needs nothing else, and the JSON says the same."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lesson import MODEL, TENANT, Lesson, copied, held, records, without

from schemas import topics
from streams.books import Books
from streams.cli.demo import summary
from streams.demo import Ran
from streams.observe import Freshness
from streams.play import Played
from streams.plot import Axis, round_up
from streams.report import page, write_report
from streams.result import RunResult, measure, to_json

FETCHING = ("src", "href", "srcset", "data", "action", "xlink:href", "poster")


@dataclass
class Seen(HTMLParser):
    """What a page is made of."""

    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    text: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.text.setdefault(self.open[-1], []).append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def parsed(html: str) -> Seen:
    seen = Seen()
    seen.feed(html)
    seen.close()
    assert not seen.open
    return seen


@pytest.fixture(scope="module")
def lesson(tmp_path_factory: pytest.TempPathFactory) -> Lesson:
    return held(tmp_path_factory.mktemp("blobs"))


@pytest.fixture(scope="module")
def result(lesson: Lesson) -> RunResult:
    return measure(
        Books(lesson.log, TENANT, MODEL),
        lesson.observer.swaps,
        seconds=20.0,
        rss_mb=512.0,
        broker="in-process log",
        store="memory",
        data="simulated",
        memory={"teacher_move/none": 4, "teacher_move/restating": 2, "student_move/none": 3},
        settings={"partitions": 2},
    )


@pytest.fixture(scope="module")
def empty(lesson: Lesson) -> RunResult:
    books = Books(copied(lesson.log, lambda record: None), TENANT, MODEL)
    return measure(books, seconds=0.0, rss_mb=0.0, broker="b", store="s")


def test_every_plot_is_there(result: RunResult) -> None:
    names = {svg["aria-label"] for svg in parsed(page(result)).of("svg")}
    assert names == {
        "Quality: teacher move",
        "Quality: student move",
        "From feedback to served model",
        "Freshness over the run",
        "Rehearsed: teacher move",
        "Rehearsed: student move",
        "Lag of each role",
    }


def test_quality_is_drawn_beside_both_baselines(result: RunResult) -> None:
    html = page(result)
    svg = html[html.index('aria-label="Quality: teacher move"') :]
    svg = svg[: svg.index("</svg>")]
    assert re.findall(r"<title>(.*?)</title>", svg)[-3:] == ["untrained", "majority class", "model"]


def test_the_page_fetches_nothing(result: RunResult) -> None:
    html = page(result)
    seen = parsed(html)
    assert not re.search(r"https?:|//[a-z]|url\(|@import", html)
    assert not [attrs for _, attrs in seen.tags if set(attrs) & set(FETCHING)]
    assert not {"script", "link", "iframe", "img", "object", "embed"} & {tag for tag, _ in seen.tags}


def test_the_page_says_verdict_counts_digest_and_settings(result: RunResult) -> None:
    html, audit = page(result), result.audit
    for said in (audit.verdict, str(audit.version), str(audit.digest), f"{audit.feedback:,}", "partitions", "torch"):
        assert said in html


def test_the_page_names_what_the_audit_found(lesson: Lesson, result: RunResult) -> None:
    gone = records(lesson.log, topics.PREDICTION)[0]
    books = Books(copied(lesson.log, without(gone)), TENANT, MODEL)
    html = page(measure(books, seconds=1.0, rss_mb=1.0, broker="b", store="s"))
    assert "verdict wrong" in html
    assert gone.header("ce_causes") in html


def test_what_was_named_by_others_is_text(result: RunResult) -> None:
    html = page(replace(result, data='<script>alert("x")</script>', settings={"<b>": "<i>"}))
    assert not parsed(html).of("script")
    assert "&lt;script&gt;" in html


def test_the_table_of_a_run_has_each_task_that_had_labels(lesson: Lesson, result: RunResult) -> None:
    ran = Ran(Played(), result.seconds, None, {}, result.rss_mb, lesson.observer)
    names = list(summary(result, ran, Path("report.html")).columns[0].cells)
    assert len(result.quality) > 1
    assert [name for name in names if name in result.quality] == list(result.quality)


def test_a_run_in_which_nothing_happened_has_a_page_and_json(empty: RunResult, tmp_path: Path) -> None:
    path = write_report(tmp_path / "made" / "report.html", empty)
    parsed(path.read_text("utf-8"))
    found = to_json(empty)
    assert found["feedback_to_model_seconds"]["p50"] is None
    assert found["prequential"]["mcc"] is None


def test_a_result_without_any_series_has_a_page(result: RunResult) -> None:
    parsed(page(replace(result, freshness=Freshness(), quality={}, stages=(), memory={}, replayed={})))


def test_the_json_has_what_scripts_rely_on(result: RunResult) -> None:
    found = json.loads(json.dumps(to_json(result), allow_nan=False))
    wanted = {
        "events", "feedback", "steps", "deltas", "checkpoints", "dead_letters", "fates", "lost", "duplicated",
        "events_per_second", "seconds", "rss_mb", "feedback_to_model_seconds", "prequential", "model", "broker",
        "store", "report",
    }  # fmt: skip
    assert wanted <= set(found)
    assert {"p50", "p99", "n"} <= set(found["feedback_to_model_seconds"])
    assert {"mcc", "macro_f1", "last_quarter_mcc", "curve", "baselines"} <= set(found["prequential"])
    assert set(found["model"]) == {"version", "digest"}


def test_the_json_says_what_was_measured(result: RunResult) -> None:
    found, first = to_json(result), result.quality["teacher_move"]
    assert found["events_per_second"] == pytest.approx(result.audit.events / result.seconds, abs=0.05)
    assert found["prequential"]["curve"] == [list(point) for point in first.model.curve]
    assert found["prequential"]["mcc"] == pytest.approx(first.model.mcc, abs=1e-4)
    assert found["dead_letters"] == sum(result.audit.dead_letters.values())
    assert set(found["prequential"]["tasks"]) == set(result.quality)


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_few_and_within_the_axis(low: float, width: float) -> None:
    axis = Axis(low, low + width, "x")
    ticks = axis.ticks()
    assert 2 <= len(ticks) <= 8
    assert all(-1e-6 <= (tick - low) / width <= 1 + 1e-6 for tick in ticks)


@given(st.floats(1e-6, 1e9))
def test_a_rounded_limit_is_at_least_the_value_and_not_far_above(value: float) -> None:
    assert value * 0.999 <= round_up(value) <= value * 2.5
