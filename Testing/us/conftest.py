import socket

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Small pictures gain nothing from more threads, and on a busy machine lose much by them."""
    torch.set_num_threads(1)


@pytest.fixture
def port():
    """Return one that is free."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
