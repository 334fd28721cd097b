"""A leak that can be mended."""

from __future__ import annotations

import mmap
import threading
import time

from lab.trading.switches import Switches

STEP = 8 << 20


def leak_when_told(switches: Switches, at_most: int, pause: float = 0.1) -> None:
    """Start a thread that takes memory while the switch ``memory`` says leak, and gives all of it back after that."""

    def run() -> None:
        taken: list[mmap.mmap] = []
        while True:
            if switches["memory"] == "leak" and len(taken) * STEP < at_most:
                piece = mmap.mmap(-1, STEP)
                piece.write(b"\1" * STEP)  # memory that is not written to is not resident
                taken.append(piece)
            elif switches["memory"] != "leak" and taken:
                for piece in taken:
                    piece.close()
                taken.clear()
            time.sleep(pause)

    threading.Thread(target=run, daemon=True).start()
