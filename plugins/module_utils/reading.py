"""What stands in files that may not be there: those of the kernel, or of a process that has just ended."""

from __future__ import annotations

from pathlib import Path


def read(path: Path) -> str:
    """The text of a file, and nothing where it cannot be read."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
