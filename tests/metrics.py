"""What a PromQL expression speaks of: for tests of the rules here, and of a running Prometheus."""

from __future__ import annotations

from collections.abc import Iterator

import promql_parser as promql


def selectors(expression: str) -> list[promql.VectorSelector]:
    """Every selector in it, also those in ranges.

    Raises:
        ValueError: it is no PromQL.
    """
    found: list[promql.VectorSelector] = []
    for node in nodes(promql.parse(expression)):
        if isinstance(node, promql.MatrixSelector):
            found.append(node.vector_selector)
        elif isinstance(node, promql.VectorSelector) and str(node) not in map(str, found):
            found.append(node)
    return found


def names(expression: str) -> set[str]:
    """The metrics in it, by name."""
    return {selector.name for selector in selectors(expression) if selector.name}


def nodes(tree: promql.Expr) -> Iterator[promql.Expr]:
    """All parts of an expression, the whole first."""
    found: list[promql.Expr] = []
    promql.walk(tree, found.append)
    yield from found
