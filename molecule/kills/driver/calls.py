"""What a run does to the host, as strace tells it, and how to have another run killed at one of these moments."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from .victim import HERE

STARTING = ("fork", "vfork", "clone", "clone3")
# Not fsync and not flock: what they change ends with the process or shows at a power cut, so a kill at the next call
# meets the same state.
CHANGING = (
    *("rename", "renameat", "renameat2", "mkdir", "mkdirat", "rmdir", "unlink", "unlinkat", "symlink", "symlinkat"),
    *(
        "link",
        "linkat",
        "chmod",
        "fchmod",
        "fchmodat",
        "chown",
        "lchown",
        "fchown",
        "fchownat",
        "utimensat",
        "setxattr",
    ),
    *("truncate", "ftruncate", "fallocate", "write", "writev", "pwrite64", "pwritev", "sendfile", "copy_file_range"),
)
LOOKING = ("systemctl show ", "runuser ", "systemd-analyze ")  # children that change nothing

TRACE = HERE / "trace"
REFERENCE = (
    "strace",
    "-f",
    "-y",
    "-s",
    "200",
    "-o",
    str(TRACE),
    "-e",
    f"trace=openat,execve,{','.join((*STARTING, *CHANGING))}",
)
LINE = re.compile(r"^(?:(?P<process>\d+) +)?(?P<name>\w+)\((?P<arguments>.*)$", re.MULTILINE)
OPENED = re.compile(r"\d+<(?P<path>[^>]*)>")
KILLED = "+++ killed by SIGKILL +++\n"

# Stands before a program in PATH. Children cannot be counted: a proof asks systemd as often as it has time for.
STAND_IN = """\
#!/bin/sh
program="$(basename "$0")"
PATH="${PATH#*:}"
if [ "$program $*" = "$DOOM" ]; then
    echo "$DOOM" >"$TRACE"
    kill -KILL "$PPID"
    [ "$UNDER_WAY" ] || exit 1
fi
exec "$program" "$@"
"""
STAND_INS = HERE / "stand-ins"


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
        """The one that is changed."""
        return self.paths[0 if self.name.startswith("rename") else -1]

    @property
    def changes(self) -> bool:
        if " = -1 E" in self.arguments:
            return False
        return self.name in CHANGING or (self.name == "openat" and bool(re.search("O_CREAT|O_TRUNC", self.arguments)))


@dataclass(frozen=True)
class Call:
    """The ``nth`` call of that name that has to do with that path, in which names and numbers are in braces."""

    name: str
    path: str
    nth: int

    def __str__(self) -> str:
        return f"{self.name} {self.path}"

    @property
    def divides(self) -> bool:
        """Whether all before it is prepared, and no other call meets that state."""
        return self.name.startswith("rename")

    def killer(self, names: Mapping[str, str]) -> list[str]:
        """The command under which a run is killed as it enters this call."""
        injected = f"inject={self.name}:signal=KILL:when={self.nth}"
        place = self.path.format(**names)
        return ["strace", "-y", "-o", str(TRACE), "-P", place, "-e", f"trace={self.name}", "-e", injected]

    def was_last(self, names: Mapping[str, str]) -> bool:
        """Whether the run that was traced last died as it entered this call."""
        trace = TRACE.read_text()
        made = lines(trace)
        return trace.endswith(KILLED) and (made[-1].name, made[-1].path) == (self.name, self.path.format(**names))


@dataclass(frozen=True)
class Child:
    """The moment in which a child begins: it dies with the run, or else outlives it (``under_way``)."""

    command: str
    under_way: bool

    def __str__(self) -> str:
        return f"{self.name}: {self.command}"

    @property
    def name(self) -> str:
        return "while it runs" if self.under_way else "before it runs"

    @property
    def divides(self) -> bool:
        return self.under_way

    def killer(self, _names: Mapping[str, str]) -> list[str]:
        """The command under which a run is killed by this child."""
        STAND_INS.mkdir(exist_ok=True)
        stand_in = STAND_INS / self.command.split()[0]
        stand_in.write_text(STAND_IN)
        stand_in.chmod(0o755)
        path = f"PATH={STAND_INS}:{os.environ['PATH']}"
        return ["env", path, f"DOOM={self.command}", f"TRACE={TRACE}", f"UNDER_WAY={'yes' * self.under_way}"]

    def was_last(self, _names: Mapping[str, str]) -> bool:
        return TRACE.read_text() == f"{self.command}\n"


def lines(trace: str) -> list[Line]:
    return [Line(found["process"] or "", found["name"], found["arguments"]) for found in LINE.finditer(trace)]


def calls(names: Mapping[str, str]) -> Iterator[Call | Child]:
    """Each state-changing call of the run that was traced last, and each child of it that changes anything."""
    trace = TRACE.read_text()
    run = lines(trace)[0].process
    children = _children(trace, run)
    seen: Counter[tuple[str, str]] = Counter()
    for line in lines(trace):
        if line.process != run:
            continue
        if line.name in STARTING:
            command = next(children)
            if not command.startswith(LOOKING):
                yield from (Child(command, under_way) for under_way in (False, True))
            continue
        seen.update((line.name, path) for path in set(line.paths))
        if line.changes:
            yield Call(line.name, abstract(line.path, names), seen[line.name, line.path])


def thinned(every: Sequence[Call | Child]) -> list[Call | Child]:
    """Of the writes of a file that takes more than three, the first, the second and the one in the middle."""
    writes = Counter(call.path for call in every if isinstance(call, Call) and call.name == "write")

    def stays(call: Call | Child) -> bool:
        if isinstance(call, Child) or call.name != "write" or writes[call.path] <= 3:
            return True
        return call.nth in (1, 2, writes[call.path] // 2 + 1)

    return [call for call in every if stays(call)]


def abstract(path: str, names: Mapping[str, str]) -> str:
    """The path with names and numbers in braces, so that it fits the next run too."""
    for name, value in names.items():
        path = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", f"{{{name}}}", path)
    return path


def _children(trace: str, run: str) -> Iterator[str]:
    """The command lines of the children of a process, in order."""
    commands: dict[str, str] = {}
    for line in lines(trace):
        if line.name == "execve":
            words = re.findall(r'"([^"]*)"', line.arguments.partition("[")[2].partition("]")[0])
            commands.setdefault(line.process, " ".join(words))
    for found in re.finditer(rf"^{run} .*\b(?:{'|'.join(STARTING)})\b.* = (\d+)$", trace, re.MULTILINE):
        yield commands[found[1]]
