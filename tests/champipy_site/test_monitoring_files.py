"""The dashboard for Grafana and the rules for Prometheus ask for metrics that there are."""

import json
from collections.abc import Iterator
from typing import Any

import promql_parser as promql
import pytest
import yaml
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from common.metric_totals import publish
from common.metrics import registry
from tests.support.paths import PROJECT

DASHBOARD = json.loads((PROJECT / "deploy/grafana/champipy.json").read_text())
RULES = yaml.safe_load((PROJECT / "deploy/prometheus/champipy.rules.yml").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = {
    **{f"{each['title']} {t['refId']}": t["expr"] for each in PANELS for t in each["targets"]},
    **{rule["alert"]: rule["expr"] for group in RULES["groups"] for rule in group["rules"]},
}
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
OF_SERVICE = {
    "champipy_oldest_waiting_seconds": {"worker"},
    "champipy_answers": {"version", "status", "reused", "in_scope"},
    "champipy_verdicts": {"verdict"},
    "champipy_failures": {"code"},
    "champipy_accuracy_ratio": {"version"},
    "champipy_open_alerts": {"kind"},
    "champipy_queue_messages": {"queue"},
}
OF_PROMETHEUS = {"job", "instance"}


@pytest.fixture
def exported(db: None, client: Client, settings) -> dict[str, set[str]]:
    """Return the labels of each sample that Prometheus may find at /metrics, by its name."""
    settings.CHAMPIPY_METRICS_TOKEN = "token"
    publish()
    text = client.get("/metrics", headers={"authorization": "Bearer token"}).text
    measured = {
        metric.name: {*getattr(collector, "_labelnames", ())}
        for collector in registry._collector_to_names
        for metric in collector.collect()
    }
    labels = OF_SERVICE | measured
    found = {"up": set[str]()}
    for family in text_string_to_metric_families(text):
        for suffix in SUFFIXES[family.type]:
            of_bucket = {"le"} if suffix == "_bucket" else set()
            found[family.name + suffix] = labels.get(family.name, set()) | of_bucket
        for sample in family.samples:
            assert {*sample.labels} <= found[sample.name], sample
    return found


def selectors(node: Any, grouped: frozenset[str] = frozenset()) -> Iterator[tuple[str, set[str]]]:
    """Yield the metrics that an expression asks for, with the labels that it needs of them."""
    match node:
        case promql.VectorSelector():
            yield str(node.name), {each.name for each in node.matchers.matchers} | grouped
        case promql.MatrixSelector():
            yield from selectors(node.vector_selector, grouped)
        case promql.AggregateExpr():
            names = frozenset(node.modifier.labels) if node.modifier else frozenset()
            yield from selectors(node.expr, grouped | names)
        case promql.Call():
            for argument in node.args:
                yield from selectors(argument, grouped)
        case promql.BinaryExpr():
            yield from selectors(node.lhs, grouped)
            yield from selectors(node.rhs, grouped)
        case promql.ParenExpr():
            yield from selectors(node.expr, grouped)
        case promql.NumberLiteral():
            return
        case _:
            raise TypeError(node)


def test_each_expression_asks_for_what_is_exported(exported: dict[str, set[str]]) -> None:
    assert len(EXPRESSIONS) > 30
    asked = set()
    for title, expression in EXPRESSIONS.items():
        for name, labels in selectors(promql.parse(expression)):
            assert name in exported, title
            assert labels <= exported[name] | OF_PROMETHEUS, title
            asked.add(name)
    known = {name for name in exported if not name.endswith(("_sum", "_count", "_bucket"))}
    assert known <= asked  # what nobody looks at need not be measured


def test_a_wrong_expression_is_found(exported: dict[str, set[str]]) -> None:
    [(name, labels)] = selectors(promql.parse('sum by (species) (champipy_answer{status="a"})'))
    assert name not in exported
    assert labels == {"species", "status"}


def test_each_rule_says_what_happened_and_what_to_do() -> None:
    for group in RULES["groups"]:
        for rule in group["rules"]:
            assert {*rule} <= {"alert", "expr", "for", "labels", "annotations"}
            assert {*rule["annotations"]} == {"summary", "description"}
            assert rule["labels"]["severity"] in {"warning", "critical"}


def test_panels_do_not_overlap() -> None:
    places = set[tuple[int, int]]()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        own = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not own & places
        assert at["x"] + at["w"] <= 24
        places |= own
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
