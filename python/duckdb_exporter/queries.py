"""Queries of the user's own, as data: one query, one metric."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any

from duckdb_exporter.metrics import COLLECTOR, DATABASE, FILES, Metric

NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
TAKEN = {metric.name for metric in (*DATABASE, *COLLECTOR, *FILES)}
MAX_TIMEOUT = 60.0


class QueryError(ValueError):
    """A query is not what it should be, or what it answers is not."""


@dataclass(frozen=True)
class Query:
    """A SELECT that becomes a metric: a sample for each row.

    Names of tables are best given in full (`database.schema.table`): the collector's cursor knows nothing of the
    owner's `USE`. Values are numbers; rows with a NULL as value are left out.
    """

    name: str
    sql: str
    help: str
    type: str = "gauge"
    value: str = "value"
    labels: tuple[str, ...] = ()
    timeout: float = 1.0

    def __post_init__(self) -> None:
        for fault in self._faults():
            raise QueryError(f"query {self.name!r}: {fault}")

    def _faults(self) -> list[str]:
        faults = [
            f"{field} must be a text that is not empty"
            for field in ("name", "sql", "help", "type", "value")
            if not isinstance(getattr(self, field), str) or not getattr(self, field).strip()
        ]
        if faults:
            return faults
        labels = self.labels
        if not isinstance(labels, tuple) or not all(isinstance(label, str) for label in labels):
            return [f"labels must be a list of column names, not {labels!r}"]
        bad = [label for label in labels if not NAME.fullmatch(label) or label.startswith("__")]
        is_number = isinstance(self.timeout, (int, float)) and not isinstance(self.timeout, bool)
        wrong = {
            "name must be letters, digits and _, and not begin with a digit": not NAME.fullmatch(self.name),
            "the name is one of the exporter's own metrics": self.name in TAKEN,
            f"type must be gauge or counter, not {self.type!r}": self.type not in ("gauge", "counter"),
            "a counter's name ends in _total, and no other's does": (
                self.name.endswith("_total") != (self.type == "counter")
            ),
            f"these are no names of labels: {', '.join(bad)}": bool(bad),
            "a label or the value is named twice": len({*labels, self.value}) <= len(labels),
            f"timeout must be a number of seconds, more than 0 and at most {MAX_TIMEOUT:.0f}": (
                not is_number or not 0 < self.timeout <= MAX_TIMEOUT
            ),
        }
        return [fault for fault, is_so in wrong.items() if is_so]

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any]) -> Query:
        """A query from JSON or YAML; QueryError says what is wrong with it."""
        if not isinstance(data, Mapping):
            raise QueryError(f"a query is a mapping with name, sql and help, not {data!r}")
        known = {field.name for field in fields(cls)}
        if unknown := sorted(str(key) for key in set(data) - known):
            raise QueryError(
                f"query {data.get('name')!r}: unknown {', '.join(unknown)}; known are {', '.join(sorted(known))}"
            )
        if missing := sorted({"name", "sql", "help"} - set(data)):
            raise QueryError(f"query {data.get('name')!r}: {', '.join(missing)} is missing")
        labels = data.get("labels", ())
        return cls(**{**data, "labels": tuple(labels) if isinstance(labels, (list, tuple)) else labels})

    @property
    def metric(self) -> Metric:
        return Metric(self.name, self.help, self.labels, self.type)

    @property
    def statement(self) -> str:
        """The query with its columns in our order."""
        columns = ", ".join(f'"{name.replace(chr(34), chr(34) * 2)}"' for name in (self.value, *self.labels))
        # The newline ends a comment that the query may end with.
        return f"SELECT {columns} FROM (\n{self.sql.strip().rstrip(';')}\n)"  # noqa: S608  the query is the user's

    def samples(self, rows: Sequence[Sequence[Any]]) -> list[tuple[float, tuple[str, ...]]]:
        """Value and label values of each row; QueryError for what is no number, or has the same labels twice."""
        found: dict[tuple[str, ...], float] = {}
        for value, *labels in rows:
            if value is None:
                continue
            if not isinstance(value, (int, float, Decimal)):
                raise QueryError(f"column {self.value!r} is {type(value).__name__} and no number")
            key = tuple("" if label is None else str(label) for label in labels)
            if key in found:
                raise QueryError(f"two rows have the labels {dict(zip(self.labels, key, strict=True))}")
            found[key] = float(value)
        return [(value, labels) for labels, value in found.items()]
