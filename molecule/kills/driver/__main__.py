"""Kills the module at each of its state-changing system calls in turn, and asks the running process each time.

It runs on a host itself, so that no trial pays for a connection. Of N hosts each takes every Nth call::

    python3 -m driver configuration 0 4    new values and a rotated secret: a reload
    python3 -m driver release 1 4          another binary, unit, flags and values: a restart
    python3 -m driver installation 2 4     from nothing at all
    python3 -m driver control              states that are half of each, made by hand: all must be found

First a run is traced undisturbed. Then each call that it made is the last of a run of its own: strace has SIGKILL
delivered as the process enters the call, so all before it is done and it is not. Where it starts a child, the child
kills it, before its own work or in the midst of it. What runs then must be wholly what was before or wholly what was
declared, and the next run, with the new declaration or with the old one, must mend the rest without being told. The
answer is JSON.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from .calls import REFERENCE, TRACE, Call, Child, calls, thinned
from .control import control
from .verdict import Verdict, generations, judge, mended, records, release_of
from .victim import HERE, Declared, clear, publish, run

PATIENCE_S = 5  # for what systemd was told to do before the kill
TRIES = 3  # to meet a call: after a run that was reverted there may be less to clean up
DEADLINE_S = 600

FIRST = Declared(1, 1)
KINDS: dict[str, Callable[[Declared], Declared]] = {
    "configuration": lambda now: replace(now, value=now.value + 1),
    "release": lambda now: Declared(now.release + 1, now.value + 1),
    "installation": lambda now: now,
}


@dataclass
class Kill:
    """A killed run: what ran after it, what was half of it, and what the next run has not mended."""

    place: int
    call: str
    reverted: bool
    ended: str = ""
    announced: bool = False
    half: list[str] = field(default_factory=list)
    not_mended: list[str] = field(default_factory=list)


class Trials:
    """One kind of change, again and again. Each begins with ``now`` in force, or with nothing."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.begin()

    def begin(self) -> None:
        """From nothing to the state that each trial starts from: as many generations as are kept, all proven."""
        clear()
        self.now: Declared | None = None
        if self.kind != "installation":
            for _generation in range(2):
                self.undisturbed()

    @property
    def next(self) -> Declared:
        return KINDS[self.kind](self.now) if self.now else FIRST

    def undisturbed(self, *tracer: str) -> None:
        run(wanted := self.next, *tracer)
        if complaints := mended(wanted):
            raise RuntimeError(f"an undisturbed run leaves {complaints}")
        self.settle(wanted)

    def settle(self, now: Declared | None) -> None:
        """The next trial starts from here."""
        self.now = now
        if self.kind == "installation":
            self.begin()

    def calls(self) -> list[Call | Child]:
        """The moments of an undisturbed run at which others are killed."""
        names = self.names()
        self.undisturbed(*REFERENCE)
        return list(calls(names))

    def names(self) -> dict[str, str]:
        """What stands in the paths of the next run and in no other's."""
        kept = generations()
        used = [record["to"] for record in records() if record["event"] == "switch"]
        names = {"new release": self.next.version}
        for release, number, generation in zip(("old release", "older release"), ("old", "older"), kept, strict=False):
            names |= {release: release_of(generation).name, number: generation.name}
        return names | {"new": str(1 + max([0, *used, *(int(generation.name) for generation in kept)]))}

    def trial(self, place: int, call: Call | Child, revert: bool) -> Kill:
        """Kill a run at that call, judge what it leaves, and have the next one mend it."""
        for _try in range(TRIES):
            before, wanted, names = self.now, self.next, self.names()
            TRACE.write_text("")
            killed = run(wanted, *call.killer(names))
            if killed.code == -signal.SIGKILL and call.was_last(names):
                break
            self.begin()
        else:
            return Kill(place, str(call), revert, half=["no run came to this call"])
        verdict = self.patient_judge(before, wanted)
        goal = before if revert else wanted
        healing = run(goal)
        not_mended = [f"the next run failed: {healing.words}"] if healing.code else []
        not_mended += mended(goal)
        if run(goal).answer.get("changed") is not False:
            not_mended.append("the run after the next changed something")
        if not_mended:
            self.begin()
        else:
            self.settle(goal)
        ended = "N+1" if verdict.running == wanted else "N"
        return Kill(place, str(call), revert, ended, verdict.announced, verdict.complaints, not_mended)

    def patient_judge(self, *wanted: Declared | None) -> Verdict:
        """The verdict, when systemd has done what the killed run may have told it."""
        end = time.monotonic() + PATIENCE_S
        while (verdict := judge(wanted)).complaints and time.monotonic() < end:
            time.sleep(0.1)
        return verdict


def kills(kind: str, part: int, parts: int) -> dict[str, Any]:
    """The kills at this part of the calls; what all the calls are is for who shares them out."""
    end = time.monotonic() + DEADLINE_S
    trials = Trials(kind)
    every = trials.calls()
    chosen = thinned(every)
    made: list[Kill] = []
    with (HERE / f"{kind}.log").open("w", buffering=1) as log:
        for place, call in list(enumerate(chosen))[part::parts]:
            # By the new declaration and by the old one in turns; by each where one call is all that divides two states.
            for revert in (False, True) if call.divides else (bool(place // parts % 2),):
                if time.monotonic() < end:
                    made.append(trials.trial(place, call, revert))
                    log.write(f"{made[-1]}\n")
    clear()
    return {
        "calls": [str(call) for call in chosen],
        "names": Counter(call.name for call in chosen),
        "left_out": len(every) - len(chosen),
        "kills": [asdict(kill) for kill in made],
    }


if __name__ == "__main__":
    publish()
    kind, *share = sys.argv[1:]
    json.dump(control() if kind == "control" else kills(kind, *map(int, share)), sys.stdout)
