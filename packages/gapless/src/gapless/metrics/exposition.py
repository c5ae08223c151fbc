"""Samples as text for Prometheus: the one place that reads prometheus-client."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    SummaryMetricFamily,
)
from prometheus_client.exposition import choose_encoder, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from gapless.metrics.families import FAMILIES, Family
from gapless.metrics.sample import Sample

LONGEST_ACCEPT = 1000


class _Samples(Collector):
    """Samples, each with the family that it belongs to."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._by_name: dict[str, list[Sample]] = {}
        for each in samples:
            self._by_name.setdefault(each.name, []).append(each)

    def collect(self) -> Iterator[Metric]:
        """Yield each family that has samples, in the order of the table."""
        for name, family in FAMILIES.items():
            if name in self._by_name:
                yield _metric(family, self._by_name[name])


def _metric(family: Family, samples: list[Sample]) -> Metric:
    match family.kind:
        case "summary":
            summary = SummaryMetricFamily(
                family.name, family.text, labels=family.labels
            )
            for each in samples:
                summary.add_metric(each.labels, each.number, each.value)
            return summary
        case "counter":
            counter = CounterMetricFamily(
                family.name, family.text, labels=family.labels
            )
            for each in samples:
                counter.add_metric(each.labels, each.value)
            return counter
        case "gauge":
            gauge = GaugeMetricFamily(family.name, family.text, labels=family.labels)
            for each in samples:
                gauge.add_metric(each.labels, each.value)
            return gauge


def text(samples: Iterable[Sample]) -> bytes:
    """Return them in Prometheus's text format, which node_exporter reads from files."""
    return generate_latest(_Samples(samples))


def answer(samples: Iterable[Sample], accept: str) -> tuple[bytes, str]:
    """Return them in the format that a client accepts, and its content type.

    That is OpenMetrics for every Prometheus since version 2.5.
    """
    encode, content_type = choose_encoder(accept[:LONGEST_ACCEPT])
    return encode(_Samples(samples)), content_type
