"""Starts a backend and a job, tells the worker's process number, and waits to be killed."""

import sys
import time

import numpy as np

from needle_backend.core.needles import LocateOptions
from needle_backend.core.volume import Volume
from needle_backend.service.client import BackendClient

source, *python = sys.argv[1:]
client = BackendClient(
    python, server=("needle_backend.service.server", "--work", "service.fake_work:FakeWork")
)
volume = Volume(np.zeros((3, 4, 5), np.int16), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), source)
stages = []
job = client.start_locate(volume, LocateOptions(), lambda stage, _: stages.append(stage))
while "network" not in stages:
    client.poll()
    time.sleep(0.002)
print(client.worker_pid, flush=True)
time.sleep(1000)
