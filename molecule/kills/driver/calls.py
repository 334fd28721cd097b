"""The state-changing system calls of a run, as strace tells them, and how to have another run killed at one of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

STARTING = frozenset(("fork", "vfork", "clone", "clone3"))
STARTED = "rt_sigprocmask"  # the parent's first call after it has started a child
# Not fsync and not flock: what they change ends with the process or shows at a power cut, so a kill at the next call
# meets the same state.
CHANGING = STARTING.union(
    ("rename", "renameat", "renameat2", "mkdir", "mkdirat", "rmdir", "unlink", "unlinkat", "symlink", "symlinkat"),
    ("link", "linkat", "chmod", "fchmod", "fchmodat", "chown", "lchown", "fchown", "fchownat", "utimensat", "setxattr"),
    ("truncate", "ftruncate", "fallocate", "write", "writev", "pwrite64", "pwritev", "sendfile", "copy_file_range"),
)
LOOKS = "systemctl show "  # a child that changes nothing

TRACED = f"trace={','.join(sorted(CHANGING))},{STARTED},openat"
REFERENCE = ("strace", "-f", "-y", "-s", "200", "-e", f"{TRACED},execve")
LINE = re.compile(r"^(?:(?P<process>\d+) +)?(?P<name>\w+)\((?P<arguments>.*)$", re.MULTILINE)
OPENED = re.compile(r"\d+<(?P<path>[^>]*)>")
KILLED = "+++ killed by SIGKILL +++\n"


@dataclass(frozen=True)
class Line:
    """One call of a trace."""

    process: str
    name: str
    arguments: str

    @property
    def paths(self) -> list[str]:
        """All that strace takes for a path of this call, when it looks for calls that have to do with one."""
        if opened := OPENED.match(self.arguments):
            return [opened["path"]]
        return re.findall(r'"(/[^"]*)"', self.arguments)

    @property
    def path(self) -> str:
        """The one that is changed; empty for a call that has none."""
        return (self.paths or [""])[0 if self.name.startswith("rename") else -1]

    @property
    def changes(self) -> bool:
        if " = -1 E" in self.arguments:
            return False
        return self.name in CHANGING or (self.name == "openat" and bool(re.search("O_CREAT|O_TRUNC", self.arguments)))


@dataclass(frozen=True)
class Call:
    """One call of a run: the ``nth`` of its name that has to do with ``path``, where names and numbers are in braces.

    A call without a path is the ``nth`` of its name at all, and comes after ``steps``.
    """

    name: str
    path: str
    nth: int
    told: str
    steps: tuple[str, ...] = ()

    @property
    def divides(self) -> bool:
        """Whether no other call meets the state before it: all is prepared, or a child has just begun."""
        return self.name.startswith("rename") or self.name == STARTED

    def tracer(self, output: str, names: Mapping[str, str]) -> list[str]:
        """The command under which a run is killed as it enters this call."""
        traced = ["-P", self.path.format(**names), "-e", f"trace={self.name}"] if self.path else ["-e", TRACED]
        return ["strace", "-y", "-o", output, *traced, "-e", f"inject={self.name}:signal=KILL:when={self.nth}"]

    def was_last(self, trace: str, names: Mapping[str, str]) -> bool:
        """Whether a traced run died as it entered this call."""
        *made, last = lines(trace) or [Line("", "", "")]
        if not trace.endswith(KILLED) or (last.name, last.path) != (self.name, self.path.format(**names)):
            return False
        return not self.steps or self.steps == steps(made, names)


def lines(trace: str) -> list[Line]:
    return [Line(found["process"] or "", found["name"], found["arguments"]) for found in LINE.finditer(trace)]


def calls(trace: str, names: Mapping[str, str]) -> Iterator[Call]:
    """Each state-changing call of the first process of a trace that followed its children, in order.

    Of a child that does more than look, both the call that starts it and the first moment in which both run.
    """
    run = lines(trace)[0].process
    made = [line for line in lines(trace) if line.process == run]
    programs = iter(_children(trace, run))
    seen: Counter[tuple[str, str]] = Counter()
    program = ""
    for number, line in enumerate(made):
        seen.update((line.name, path) for path in {"", *line.paths})
        path = abstract(line.path, names)
        call = Call(line.name, path, seen[line.name, line.path], f"{line.name} {path}")
        if line.name in STARTING:
            program = next(programs)
            call = replace(call, told=f"{line.name}: {program}", steps=steps(made[:number], names))
        elif line.name == STARTED and made[number - 1].name in STARTING:
            call = replace(call, told=f"while it runs: {program}", steps=steps(made[:number], names))
        elif not line.changes:
            continue
        if not (call.steps and program.startswith(LOOKS)):
            yield call


def thinned(all_of_them: Sequence[Call]) -> list[Call]:
    """Of the writes of a file that takes more than three, the first, the second and the one in the middle."""
    writes = Counter(call.path for call in all_of_them if call.name == "write")

    def stays(call: Call) -> bool:
        total = writes[call.path]
        return call.name != "write" or total <= 3 or call.nth in (1, 2, total // 2 + 1)

    return [call for call in all_of_them if stays(call)]


def steps(made: Sequence[Line], names: Mapping[str, str]) -> tuple[str, ...]:
    """What a run did so far; how many writes a download takes is up to the network."""
    changes = (f"{line.name} {abstract(line.path, names)}" for line in made if line.changes)
    return tuple(step for step, _same in groupby(changes))


def abstract(path: str, names: Mapping[str, str]) -> str:
    """The path with names and numbers in braces, so that it fits the next run too."""
    for name, value in names.items():
        path = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", f"{{{name}}}", path)
    return path


def _children(trace: str, run: str) -> Iterator[str]:
    """The command lines of the children of a process, in order."""
    programs: dict[str, str] = {}
    for line in lines(trace):
        if line.name == "execve":
            words = re.findall(r'"([^"]*)"', line.arguments.partition("[")[2].partition("]")[0])
            programs.setdefault(line.process, " ".join(words))
    for found in re.finditer(rf"^{run} .*\b(?:{'|'.join(STARTING)})\b.* = (\d+)$", trace, re.MULTILINE):
        yield programs.get(found[1], "")
