"""Captures queries and looks how PostgreSQL carries them out."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import connection

FIRST_ROWS = 4_000
"""Rows that a query may read without an index: until it has the few that a limit asks for."""
EXPLAINED = ("SELECT", "UPDATE", "DELETE", "WITH")


@dataclass(frozen=True)
class Query:
    """A query with its parameters, as it was asked."""

    sql: str
    parameters: Any


@dataclass(frozen=True)
class Reading:
    """What a query reads."""

    scanned: frozenset[str]
    """Tables of which more than FIRST_ROWS are read without an index."""
    rows: int
    """Rows that are looked at, of all tables together."""


@contextmanager
def captured_queries() -> Iterator[list[Query]]:
    """Yield a list to which the queries of this thread are added, each different text once."""
    queries: dict[str, Query] = {}
    listed: list[Query] = []

    def capture(execute: Any, sql: Any, parameters: Any, many: bool, context: Any) -> Any:
        text = str(sql)
        if text.startswith(EXPLAINED) and not many and text not in queries:
            queries[text] = Query(text, parameters)
            listed.append(queries[text])
        return execute(sql, parameters, many, context)

    with connection.execute_wrapper(capture):
        yield listed


def reading(query: Query) -> Reading:
    """Return what a query reads. Those that write are planned, but not carried out again."""
    options = "ANALYZE, TIMING OFF, " if query.sql.startswith("SELECT") else ""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN ({options}FORMAT JSON) {query.sql}", query.parameters)
        [[plans]] = cursor.fetchall()
    plans = json.loads(plans) if isinstance(plans, str) else plans
    nodes = list(_nodes(plans[0]["Plan"]))
    scans = (node for node in nodes if node["Node Type"] == "Seq Scan")
    scanned = {node["Relation Name"] for node in scans if _rows(node) > FIRST_ROWS}
    return Reading(frozenset(scanned), sum(map(_rows, nodes)))


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


def _rows(node: dict[str, Any]) -> int:
    """Return the rows that a node reads from a table or an index, with those it throws away."""
    if "Scan" not in node["Node Type"] or node["Node Type"] in ("Subquery Scan", "CTE Scan"):
        return 0
    if "Actual Rows" not in node:
        return int(node["Plan Rows"])
    removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return int((node["Actual Rows"] + removed) * node["Actual Loops"])
