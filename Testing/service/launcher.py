"""Stands in for PythonSlicer: the interpreter is its child, and it passes on how that ended.

With ``--linger`` it does so late, as on a busy machine.
"""

import subprocess
import sys
import time

arguments = sys.argv[1:]
lingers = arguments[0] == "--linger"
status = subprocess.Popen([sys.executable, *arguments[lingers:]]).wait()
time.sleep(0.5 * lingers)
sys.exit(status if status >= 0 else 1)
