"""What operators are given names only metrics that exist, and every metric that exists is shown to them."""

from __future__ import annotations

import json
import re
from pathlib import Path

from streams.metrics import COUNTERS, GAUGES, HISTOGRAMS

DEPLOY = Path(__file__).parents[1] / "deploy"
SERIES = re.compile(r"\bcurrere_[a-z_]+")
SUFFIXES = ("bucket", "count", "sum")


def _served() -> set[str]:
    """The names that Prometheus stores, after the suffixes that the client gives to each kind of metric."""
    histograms = {f"currere_{name}_{suffix}" for name in HISTOGRAMS for suffix in SUFFIXES}
    return {f"currere_{name}_total" for name in COUNTERS} | {f"currere_{name}" for name in GAUGES} | histograms


def _shown() -> set[str]:
    dashboard = json.loads((DEPLOY / "grafana" / "dashboards" / "currere.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    return set(SERIES.findall(" ".join(queries)))


def test_the_dashboard_asks_for_metrics_that_are_served() -> None:
    assert _shown() - _served() == set()


def test_every_metric_is_on_the_dashboard() -> None:
    families = {re.sub(r"_(total|bucket|count|sum)$", "", series) for series in _shown()}
    assert {f"currere_{name}" for name in (*COUNTERS, *GAUGES, *HISTOGRAMS)} - families == set()


def test_every_alert_asks_for_metrics_that_are_served_and_says_what_to_do() -> None:
    alerts = (DEPLOY / "prometheus" / "alerts.yml").read_text()
    assert set(SERIES.findall(alerts)) - _served() == set()
    assert alerts.count("- alert:") == alerts.count("summary:") == alerts.count("what_next:")
