"""Say which system libraries are missing, and the Debian packages that hold them.

Run by the Makefile with a bare Python, before anything is installed; silent when all is there:
``python3 tools/check_system.py demo|test [--packages]``.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import sys

DEMO = {
    "libstdc++.so.6": "libstdc++6",
    "libgcc_s.so.1": "libgcc-s1",
    "libz.so.1": "zlib1g",
}
TEST = DEMO | {
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libX11.so.6": "libx11-6",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libfontconfig.so.1": "libfontconfig1",
    "libdbus-1.so.3": "libdbus-1-3",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libgssapi_krb5.so.2": "libgssapi-krb5-2",
}
LIBRARIES = {"demo": DEMO, "test": TEST}


def can_load(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def missing_parts(purpose: str) -> dict[str, str]:
    """Return what is missing, as {what: Debian package}."""
    missing = {}
    if importlib.util.find_spec("ensurepip") is None:
        missing["Python's venv module"] = f"python3.{sys.version_info.minor}-venv"
    if sys.platform == "linux":
        libraries = LIBRARIES[purpose]
        missing |= {name: package for name, package in libraries.items() if not can_load(name)}
    return missing


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("purpose", choices=sorted(LIBRARIES))
    parser.add_argument("--packages", action="store_true", help="print only the package names")
    arguments = parser.parse_args()

    missing = missing_parts(arguments.purpose)
    packages = " ".join(sorted(set(missing.values())))
    if arguments.packages:
        print(packages)
        return 0
    for what, package in missing.items():
        print(f"Missing: {what} (Debian package {package}).", file=sys.stderr)
    if missing:
        print(f"On Debian or Ubuntu: sudo apt-get install {packages}", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
