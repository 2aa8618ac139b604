import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Small pictures gain nothing from more threads, and on a busy machine lose much by them."""
    torch.set_num_threads(1)
