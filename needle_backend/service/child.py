"""A child process with pipes that never block: started, spoken to, and certainly ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

READ_BYTES = 1 << 16
MAX_READ_BYTES = 1 << 24
PACKAGE_PARENT = Path(__file__).parents[2]


class Child:
    """A Python process running a module of this package.

    No thread is used: in the Slicer window Python's threads run only now and then, so whoever owns
    this calls :meth:`receive` and :meth:`flush` from time to time.

    Parameters
    ----------
    python
        The interpreter and what goes before its arguments. It may be a launcher whose own child is
        the interpreter, as PythonSlicer is.
    arguments
        The module and its arguments.

    Raises
    ------
    OSError
        When the interpreter cannot be started.
    """

    def __init__(self, python: Sequence[str], arguments: Sequence[str]) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # closed in end()
        self._unsent = bytearray()
        try:
            self._process = subprocess.Popen(
                [*python, "-P", "-m", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                bufsize=0,
                env=environment(),
                **separately(),
            )
        except OSError:
            self._log.close()
            raise
        self._stdin = self._process.stdin.fileno()
        self._stdout = self._process.stdout.fileno()
        os.set_blocking(self._stdin, False)
        os.set_blocking(self._stdout, False)

    def send(self, data: bytes) -> None:
        """Send what fits into the pipe now; :meth:`flush` sends the rest."""
        self._unsent += data
        self.flush()

    def flush(self) -> None:
        """Send what is still unsent, as far as it fits."""
        with contextlib.suppress(OSError):  # a full pipe: later; a broken one shows in receive()
            while self._unsent and (sent := os.write(self._stdin, self._unsent)):
                del self._unsent[:sent]

    def receive(self) -> bytes | None:
        """Return what has arrived, perhaps nothing, or None when the process has ended."""
        arrived = bytearray()
        with contextlib.suppress(BlockingIOError):
            while len(arrived) < MAX_READ_BYTES:
                data = os.read(self._stdout, READ_BYTES)
                if not data:
                    return bytes(arrived) or None
                arrived += data
        return bytes(arrived)

    def end(self, worker_pid: int | None, patience_s: float = 0.0) -> str:
        """End the process and all it started, free its pipes, and tell how it ended.

        Parameters
        ----------
        worker_pid
            The interpreter's own process, where it is known.
        patience_s
            How long the process may take to end by itself, now that its stdin is closed.
        """
        self._process.stdin.close()
        deadline = time.monotonic() + patience_s
        while self.receive() is not None and time.monotonic() < deadline:
            time.sleep(0.005)
        kill_all(self._process, worker_pid)
        status = self._process.wait()
        self._process.stdout.close()
        last_words = self._last_words()
        self._log.close()
        return how_it_ended(status) + last_words

    def _last_words(self) -> str:
        self._log.seek(max(0, self._log.seek(0, os.SEEK_END) - 2000))
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return f' Its last words: "{lines[-1].strip()}"' if lines else ""


def environment() -> dict[str, str]:
    """Return this process' environment with the place of this package among Python's paths."""
    paths = [str(PACKAGE_PARENT), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def separately() -> dict[str, object]:
    """Return Popen's arguments that let the child and its children be ended together."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True}


def kill_all(process: subprocess.Popen, worker_pid: int | None) -> None:
    """End a process that was not waited for, its group, and the worker that a launcher started.

    The worker's number is believed only if it belongs to the session made for the process.
    """
    if sys.platform == "win32":
        for pid in filter(None, (worker_pid, process.pid)):
            subprocess.run(["taskkill", "/F", "/T", "/PID", str(pid)], capture_output=True)
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if worker_pid is not None and os.getsid(worker_pid) == process.pid:
            os.kill(worker_pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def has_ended(pid: int) -> bool:
    """Whether a process is gone, or dead and only not yet missed by its parent.

    Through a launcher that is seen late: its own copies of the pipes stay open until it ends, too.
    Windows does not tell; there the launcher's end has to do.
    """
    if sys.platform == "win32":
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    try:
        _name, _, fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    except OSError:  # no Linux
        return False
    return fields.split()[0] in ("Z", "X")


def how_it_ended(status: int) -> str:
    """Return a process' exit status in words."""
    if status < 0:
        name = signal.Signals(-status).name
        return f"It was ended by {name}{', perhaps for lack of memory' * (name == 'SIGKILL')}."
    return f"It ended with status {status}."
