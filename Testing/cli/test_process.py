"""The command as a process: what a shell, a terminal and Ctrl-C see."""

import os
import pty
import signal
import subprocess
import sys
import textwrap

SLOW = textwrap.dedent(
    """
    import sys, time
    from needle_backend.cli import app, locate
    from needle_backend.core.needles import LocateResult, NeedleCount

    class Slow:
        def locate(self, volume, options, progress, cancel):
            progress("network", 0.5)
            print("working", flush=True)
            time.sleep(float(seconds))
            return LocateResult((), NeedleCount(0, estimated=True))

    seconds, *arguments = sys.argv[1:]
    locate.make_localizer = Slow
    sys.exit(app.run(arguments))
    """
)


def heed_ctrl_c():
    """What a shell starts in the background ignores Ctrl-C, and so does all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(seconds, *arguments, **streams):
    command = [sys.executable, "-c", SLOW, str(seconds), *map(str, arguments)]
    return subprocess.Popen(
        command, text=True, stdout=subprocess.PIPE, preexec_fn=heed_ctrl_c, **streams
    )


def test_ctrl_c_ends_with_130_and_leaves_no_output(ct_file):
    output = ct_file.with_name("x.mrk.json")
    process = start(60, "locate", ct_file, "--output", output, stderr=subprocess.PIPE)
    assert process.stdout.readline() == "working\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out == ""
    assert err == "Interrupted; nothing half-written is left.\n"
    assert [path.name for path in ct_file.parent.iterdir()] == [ct_file.name]


def test_no_progress_is_shown_when_piped(ct_file):
    process = start(0, "locate", ct_file, stderr=subprocess.PIPE)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert err == ""


def test_progress_is_shown_on_a_terminal(ct_file):
    ours, theirs = pty.openpty()
    process = start(0.5, "locate", ct_file, stderr=theirs)
    os.close(theirs)
    process.communicate(timeout=30)
    assert process.returncode == 0
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert "network" in shown
    assert "%" in shown


def test_help_needs_no_heavy_library():
    code = (
        "from needle_backend.cli.app import run; run(['--help']); import sys; print(*sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    loaded = set(result.stdout.splitlines()[-1].split())
    assert loaded.isdisjoint({"torch", "SimpleITK", "cv2", "scipy", "timm"})
