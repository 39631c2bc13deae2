"""Memory that a training frees is used again at once, instead of being given back and asked for anew in every step.

glibc gives large blocks back to the system, which then has to make their pages anew, all zero: with logits and activations of some 50 MB
each, that was a sixth of a training's time on a processor.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4  # glibc's malloc.h
KEPT = {MMAP_MAX: 0, TRIM_THRESHOLD: 2**31 - 1}
USUAL = {MMAP_MAX: 2**16, MMAP_THRESHOLD: 2**25, TRIM_THRESHOLD: 2**26}  # what glibc itself comes to when it sees large blocks


@contextmanager
def kept_memory() -> Iterator[None]:
    """In the block, freed memory stays with this process; afterwards it is given back. Changes nothing where malloc is not glibc's."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt") or not hasattr(libc, "malloc_trim"):
        yield
        return
    for option, value in KEPT.items():
        libc.mallopt(option, value)
    try:
        yield
    finally:
        for option, value in USUAL.items():
            libc.mallopt(option, value)
        libc.malloc_trim(0)
