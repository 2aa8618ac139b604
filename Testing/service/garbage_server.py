"""A server gone mad: says hello properly, then writes the bytes its arguments ask for."""

import os
import random
import sys

from needle_backend import __version__
from needle_backend.service.protocol import MAGIC, MAX_BODY_BYTES, PREFIX, Message, encode

hello = encode(Message("hello", 0, {"version": __version__, "pid": os.getpid()}))
answer = encode(Message("result", 1, {"device": "mad"}))
WAYS = {
    "noise": hello + random.Random(0).randbytes(100_000),
    "oversized": hello + PREFIX.pack(MAGIC, 10, MAX_BODY_BYTES + 1),
    "truncated": hello + answer[:-5],
    "late-hello": answer + hello,
    "twice": hello + answer + answer + hello,
    "nothing": b"",
}
os.write(1, WAYS[sys.argv[1]])
