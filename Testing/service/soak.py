"""Run many jobs in a row through the backend process and print how its memory and time behave.

``python Testing/service/soak.py --jobs 1000``: real processes and shared memory, volumes of 20
slices of 512 x 512, fake work; so that what is measured is the process itself.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path

import numpy as np
import psutil

from needle_backend.core.needles import LocateOptions
from needle_backend.core.progress import CancelToken, no_progress
from needle_backend.core.volume import Volume
from needle_backend.service.client import BackendClient

WARM_UP = 20
SERVER = ("needle_backend.service.server", "--work", "service.fake_work:FakeWork")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1000)
    arguments = parser.parse_args()
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])
    array = np.random.default_rng(0).integers(-1000, 3000, (20, 512, 512), np.int16)
    volume = Volume(array, (0.9, 0.9, 5.0), (0.0, 0.0, 0.0))
    seconds, megabytes = [], []
    with BackendClient(server=SERVER) as client:
        start = time.perf_counter()
        client.start()
        while client.worker_pid is None:
            client.poll()
            time.sleep(0.001)
        hello_s = time.perf_counter() - start
        for _ in range(WARM_UP + arguments.jobs):
            start = time.perf_counter()
            client.locate(volume, LocateOptions(), no_progress, CancelToken())
            seconds.append(time.perf_counter() - start)
            processes = psutil.Process(), psutil.Process(client.worker_pid)
            megabytes.append([process.memory_info().rss >> 20 for process in processes])
    (client_mb, server_mb), (client_end_mb, server_end_mb) = megabytes[WARM_UP], megabytes[-1]
    report = {
        "jobs": arguments.jobs,
        "hello_s": round(hello_s, 3),
        "job_s_median": round(statistics.median(seconds[WARM_UP:]), 4),
        "client_mb_first_last": [client_mb, client_end_mb],
        "server_mb_first_last": [server_mb, server_end_mb],
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
