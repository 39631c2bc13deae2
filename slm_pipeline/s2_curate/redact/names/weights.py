"""The weights file: eight-bit numbers, gazetteers as fingerprints, and what made it."""

from pathlib import Path
from typing import Any

import numpy as np

from slm_pipeline.s2_curate.redact.names.network import DILATIONS, Network


def load(path: Any) -> Network:
    """The network in a weights file (`np.savez_compressed`)."""
    with path.open("rb") as file:
        held = np.load(file)
        layers = range(len(DILATIONS))
        return Network(
            table=_unpacked(held, "table"),
            mix=[_unpacked(held, f"mix{i}") for i in layers],
            bias=[held[f"bias{i}"] for i in layers],
            out=_unpacked(held, "out"),
            out_bias=held["out_bias"],
            known=np.cumsum(held["known"], dtype=np.uint32),
            masks=held["masks"],
        )


def made_by(path: Any) -> str:
    """What made a weights file: generator version, seed, sizes."""
    with path.open("rb") as file:
        return str(np.load(file)["made_by"])


def save(network: Network, path: Path, made_by: str) -> None:
    """Write a network; the same network gives the same bytes."""
    arrays: dict[str, np.ndarray] = {"made_by": np.array(made_by), "out_bias": network.out_bias, "masks": network.masks}
    arrays["known"] = np.diff(network.known, prepend=np.uint32(0))
    for name, values in (("table", network.table), ("out", network.out), *((f"mix{i}", m) for i, m in enumerate(network.mix))):
        scale = np.abs(values).max(0) / 127 + 1e-9
        arrays[name], arrays[f"{name}_scale"] = np.round(values / scale).astype(np.int8), scale.astype(np.float32)
    arrays |= {f"bias{i}": b for i, b in enumerate(network.bias)}
    np.savez_compressed(path, **arrays)


def _unpacked(held: Any, name: str) -> np.ndarray:
    return held[name].astype(np.float32) * held[f"{name}_scale"]
