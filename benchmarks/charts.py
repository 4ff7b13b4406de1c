"""The charts that benchmarks draw."""

from streams.charts import Interval, bars, curves, figures, intervals

__all__ = ["Interval", "bars", "curves", "figures", "intervals"]
