"""Targets that together show as many series as one likes, for little: /metrics of a trade engine, rendered beforehand.

A page has 5,000 series or what --series says: 60 % are buckets of latency histograms, 20 % counters, 15 % gauges, 5 %
constant, about 90 bytes a line. There are 60 pages, one for each second, and every port serves them: counters grow from
page to page and begin anew with the first, as a program does that restarts once a minute; gauges walk to and fro.

    python3 -m lab.load --ports 20000-20009 [--address 127.0.0.1] [--series 5000]

It needs Python's standard library only, so that this file alone runs on a host.
"""

from __future__ import annotations

import argparse
import random
import selectors
import socket
from collections.abc import Iterator

PAGES = 60
BUCKETS = ("0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "1", "+Inf")
VENUES = ("xetra", "nyse", "cme", "lse", "tse")
HEAD = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\n\r\n"
WAITING_CONNECTIONS = 128


def pages(series: int, seed: int = 1) -> list[bytes]:
    """What is said in each second of a minute, headers of HTTP included."""
    dice = random.Random(seed)  # noqa: S311  no secret
    columns = [_values(kind, dice) for kind in _kinds(series)]
    names = list(_names(series))
    texts = (
        "".join(f"{name} {values[page]}\n" for name, values in zip(names, columns, strict=True))
        for page in range(PAGES)
    )
    return [(HEAD.format(len(text)) + text).encode("ascii") for text in texts]


def _kinds(series: int) -> Iterator[str]:
    for index in range(series):
        share = index / series
        if share < 0.6:
            yield f"bucket{index % len(BUCKETS)}"
        else:
            yield "counter" if share < 0.8 else "gauge" if share < 0.95 else "constant"


def _names(series: int) -> Iterator[str]:
    for index, kind in enumerate(_kinds(series)):
        book = index // len(BUCKETS)
        where = f'venue="{VENUES[book % len(VENUES)]}",strategy="s{book % 97:02}",symbol="SYM{book:05}"'
        if kind.startswith("bucket"):
            yield f'engine_order_latency_seconds_bucket{{{where},le="{BUCKETS[index % len(BUCKETS)]}"}}'
        else:
            yield f'engine_{kind}_{"total" if kind == "counter" else "value"}{{{where},lane="{index % len(BUCKETS)}"}}'


def _values(kind: str, dice: random.Random) -> list[str]:
    if kind == "constant":
        return [str(dice.randrange(100))] * PAGES
    if kind == "gauge":
        value, there = dice.uniform(0, 1000), []
        for _page in range(PAGES // 2):
            value += dice.gauss(0, 1)
            there.append(f"{value:.2f}")
        return there + there[::-1]
    # Of a histogram, the buckets below a latency that seldom occurs stand still most of the time.
    rate = (0.05 + 0.2 * int(kind.removeprefix("bucket"))) if kind != "counter" else dice.choice((0.1, 3, 50))
    total, grown = dice.randrange(10**6), []
    for _page in range(PAGES):
        total += max(0, round(dice.gauss(rate, rate**0.5)))
        grown.append(str(total))
    return grown


class Client:
    """A connection: a page for each request."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.page = 0
        self.asked = b""
        self.answer = memoryview(b"")

    def read(self, said: list[bytes]) -> bool:
        """Whether it is there still."""
        try:
            data = self.connection.recv(65536)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self.asked += data
        if b"\r\n\r\n" in self.asked and not self.answer:
            self.asked = self.asked.partition(b"\r\n\r\n")[2]
            self.answer = memoryview(said[self.page])
            self.page = (self.page + 1) % PAGES
        return bool(data)

    def write(self) -> bool:
        try:
            self.answer = self.answer[self.connection.send(self.answer) :]
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True


def serve(address: str, ports: range, said: list[bytes]) -> None:
    """Answers whatever is asked, for ever. One thread: it has to be cheap beside what is measured."""
    ready = selectors.DefaultSelector()
    for port in ports:
        listener = socket.create_server((address, port), backlog=WAITING_CONNECTIONS)
        listener.setblocking(False)
        ready.register(listener, selectors.EVENT_READ)
    while True:
        for key, _events in ready.select():
            client = key.data
            if client is None:
                connection, _ = key.fileobj.accept()  # type: ignore[union-attr]
                connection.setblocking(False)
                ready.register(connection, selectors.EVENT_READ, Client(connection))
                continue
            there = client.write() if client.answer else client.read(said)
            if not there:
                ready.unregister(client.connection)
                client.connection.close()
                continue
            ready.modify(client.connection, selectors.EVENT_WRITE if client.answer else selectors.EVENT_READ, client)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--ports", required=True, help="FIRST-LAST")
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--series", type=int, default=5000, help="of each port")
    arguments = parser.parse_args()
    first, _, last = arguments.ports.partition("-")
    serve(arguments.address, range(int(first), int(last or first) + 1), pages(arguments.series))


if __name__ == "__main__":
    main()
