"""A server that never says a word."""

import sys

sys.stdin.read()
