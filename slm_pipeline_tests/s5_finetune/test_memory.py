"""Freed memory is used again while a training runs, and given back afterwards."""

import ctypes
import resource

import numpy as np
import pytest

from slm_pipeline.s5_finetune.memory import kept_memory

BLOCK = 60_000_000  # bytes


def new_pages() -> int:
    """Pages that the system had to make while a block was allocated and filled ten times."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        np.ones(BLOCK, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="malloc is not glibc's")
def test_pages_are_made_once_instead_of_each_time():
    usual = new_pages()
    with kept_memory():
        new_pages()
        kept = new_pages()
    assert kept < usual / 5
    assert new_pages() > usual / 2
