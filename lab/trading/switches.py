"""What is wrong with a stand-in, as it was told."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any


class Switches:
    """Named settings, each with its good value first: the values it may have, or an example of its type."""

    def __init__(self, known: Mapping[str, Sequence[str] | int | bool | dict[str, float]]) -> None:
        self._known = dict(known)
        self._lock = threading.Lock()
        self._now: dict[str, Any] = {
            name: values[0] if isinstance(values, tuple) else values for name, values in known.items()
        }

    def __getitem__(self, name: str) -> Any:
        with self._lock:
            return self._now[name]

    def all(self) -> dict[str, Any]:
        with self._lock:
            return dict(self._now)

    def set(self, wanted: object) -> None:
        """All of it or none.

        Raises:
            ValueError: what is not known, and what is.
        """
        if not isinstance(wanted, dict):
            raise ValueError(f"write a mapping of {', '.join(self._known)}")  # noqa: TRY004  # one error for the handler
        for name, value in wanted.items():
            if name not in self._known:
                raise ValueError(f"{name} is no switch: there are {', '.join(self._known)}")
            known = self._known[name]
            if isinstance(known, tuple) and value not in known:
                raise ValueError(f"{name} is {value!r}: write one of {', '.join(known)}")
            if not isinstance(known, tuple) and type(value) is not type(known):
                raise ValueError(f"{name} is {value!r}: write a {type(known).__name__}")
        with self._lock:
            self._now |= wanted
