"""Targets that together show as many series as one likes, for little: /metrics of a trade engine, rendered beforehand.

A page has 5,000 series or what --series says, of books in each of which something is traded in three seconds of ten:
eleven buckets of its latency histogram, four counters, three gauges that move when there is trade, one constant; about
90 bytes a line. There are 60 pages, one for each second, and every port serves them. Counters begin anew with the first
page, as those of a program do that restarts once a minute.

    python3 -m lab.load --ports 20000-20009 [--address 127.0.0.1] [--series 5000]

It needs Python's standard library only, so that this file alone runs on a host.
"""

from __future__ import annotations

import argparse
import itertools
import random
import selectors
import socket
from collections.abc import Sequence

PAGES = 60
BUCKETS = ("0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "1", "+Inf")
SERIES_OF_A_BOOK = len(BUCKETS) + 8
VENUES = ("xetra", "nyse", "cme", "lse", "tse")
HEAD = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\n\r\n"
WAITING_CONNECTIONS = 128


def pages(series: int, seed: int = 1) -> list[bytes]:
    """What is said in each second of a minute, headers of HTTP included."""
    dice = random.Random(seed)  # noqa: S311  no secret
    books = (book(number, orders(dice, PAGES), dice) for number in range(-(-series // SERIES_OF_A_BOOK)))
    lines = list(itertools.chain.from_iterable(books))[:series]
    texts = ("".join(f"{name} {values[page]}\n" for name, values in lines) for page in range(PAGES))
    return [(HEAD.format(len(text)) + text).encode("ascii") for text in texts]


def orders(dice: random.Random, seconds: int, busy: float = 0.3) -> list[int]:
    """How many are executed in each second; ``busy`` is the share of seconds with any."""
    return dice.choices((0, 1, 2, 8), (1 - busy, busy / 2, busy / 3, busy / 6), k=seconds)


def book(number: int, executed: Sequence[int], dice: random.Random) -> list[tuple[str, list[str]]]:
    """The series of what is traded under one symbol: name and a value for each second, by the orders of that second."""
    where = f'venue="{VENUES[number % len(VENUES)]}",strategy="s{number % 97:02}",symbol="SYM{number:05}"'
    buckets = sorted(dice.randrange(10**6) for _bucket in BUCKETS)
    told: list[list[str]] = [[] for _bucket in BUCKETS]
    for count in executed:
        for _order in range(count):
            falls_in = min(int(dice.expovariate(0.4)), len(BUCKETS) - 1)
            for bucket in range(falls_in, len(BUCKETS)):
                buckets[bucket] += 1
        for values, total in zip(told, buckets, strict=True):
            values.append(str(total))
    name = "engine_order_latency_seconds_bucket"
    found = [(f'{name}{{{where},le="{le}"}}', values) for le, values in zip(BUCKETS, told, strict=True)]
    for lane in range(4):
        totals = itertools.accumulate(executed, initial=dice.randrange(10**6))
        found.append((f'engine_orders_total{{{where},lane="{lane}"}}', list(map(str, totals))[1:]))
    positions = ((f'engine_position_value{{{where},lane="{lane}"}}', _walk(executed, dice)) for lane in range(3))
    return [*found, *positions, (f'engine_book_info{{{where},lane="0"}}', ["1"] * len(executed))]


def _walk(executed: Sequence[int], dice: random.Random) -> list[str]:
    value, told = dice.uniform(0, 1000), []
    for count in executed:
        value += dice.gauss(0, 1) if count else 0
        told.append(f"{value:.2f}")
    return told


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
