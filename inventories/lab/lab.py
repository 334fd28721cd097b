#!/usr/bin/env python3
"""The hosts of the lab named by LAB_NAME, as an Ansible inventory."""

import subprocess
import sys
from pathlib import Path

if __name__ == "__main__":
    root = Path(__file__).resolve().parents[2]
    sys.exit(subprocess.call([sys.executable, "-m", "lab", "inventory", *sys.argv[1:]], cwd=root))
