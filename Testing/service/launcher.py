"""Stands in for PythonSlicer: the interpreter is its child, and it passes on how that ended."""

import subprocess
import sys

status = subprocess.Popen([sys.executable, *sys.argv[1:]]).wait()
sys.exit(status if status >= 0 else 1)
