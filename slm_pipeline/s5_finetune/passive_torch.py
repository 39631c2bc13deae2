"""torch, with OpenMP threads that wait passively: import it from here, not by itself.

Threads that spin while they wait cost a factor of ten as soon as anything else runs on the cores. torch reads this when it is
first imported, unless the user has set something else; llama.cpp's process must not inherit it.
"""

import os

if unset := "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "passive"

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it a GPU refuses deterministic products

import torch

if unset:
    del os.environ["OMP_WAIT_POLICY"]

__all__ = ["torch"]
