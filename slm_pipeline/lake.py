"""Artefacts by stage, asset, partition and digest, on any file system that fsspec knows.

<lake>/<stage>/<asset>/<partition or "all">/current.json      pointer, replaced atomically
<lake>/<stage>/<asset>/<partition or "all">/<digest>/<file>   the artefact, never changed once written
"""

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import fsspec
import pandas as pd

Content = pd.DataFrame | bytes | Mapping | list | str


def digest(*parts: object) -> str:
    """A short, stable digest of JSON-serialisable parts or bytes; 16 hex digits."""
    sha = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else json.dumps(part, sort_keys=True, default=str).encode()
        sha.update(len(data).to_bytes(8, "big") + data)
    return sha.hexdigest()[:16]


@dataclass(frozen=True)
class Artefact:
    """One written version of an asset's partition."""

    lake: "Lake"
    path: str
    digest: str
    inputs: str
    files: dict[str, str]

    def table(self, name: str, columns: list[str] | None = None) -> pd.DataFrame:
        """Read `<name>.parquet`, or only some of its columns."""
        return pd.read_parquet(io.BytesIO(self.bytes(f"{name}.parquet")), columns=columns)

    def json(self, name: str) -> Any:
        """Read `<name>.json`."""
        return json.loads(self.bytes(f"{name}.json"))

    def bytes(self, name: str) -> bytes:
        return self.lake.fs.cat_file(f"{self.path}/{name}")

    def intact(self) -> bool:
        """Whether its files are, byte by byte, those that its digest names; of artefacts that are named by their files."""
        return digest({name: hashlib.sha256(self.bytes(name)).hexdigest() for name in sorted(self.files)}) == self.digest

    def local(self) -> Path:
        """The artefact's folder as a local path, for libraries that read files; copied there if the lake is remote."""
        if self.lake.is_local:
            return Path(self.path)
        target = self.lake.cache / self.digest
        if not target.exists():
            self.lake.fs.get(self.path, str(target), recursive=True)
        return target


class Lake:
    """Reads and writes artefacts below one fsspec URL."""

    def __init__(self, url: str, cache: Path | None = None):
        self.fs, self.root = fsspec.core.url_to_fs(url)
        self.is_local = "file" in (self.fs.protocol if isinstance(self.fs.protocol, tuple) else (self.fs.protocol,))
        self.cache = cache or Path.home() / ".cache" / "slm_pipeline"

    def _folder(self, asset: str, partition: str | None) -> str:
        return f"{self.root}/{asset}/{quote(partition, safe='') if partition else 'all'}"

    def write(
        self,
        asset: str,
        partition: str | None,
        contents: Mapping[str, Content],
        inputs: str = "",
        keep_old: bool = False,
        version: str | None = None,
    ) -> Artefact:
        """Write one version and point to it.

        `asset` is "<stage>/<asset>". A DataFrame becomes `<name>.parquet`, bytes and str go to the file `<name>` as they
        are, anything else becomes `<name>.json`. `inputs` is the digest of what the artefact was made from. Superseded
        versions are deleted unless `keep_old`. The artefact's digest is that of its files, or `version` where these also hold
        measured times, which must not make equal results differ.
        """
        files = dict(_encode(name, content) for name, content in contents.items())
        sums = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())}
        version = version or digest(sums)
        folder = self._folder(asset, partition)
        path = f"{folder}/{version}"
        self.fs.makedirs(path, exist_ok=True)
        for name, data in files.items():
            self.fs.pipe_file(f"{path}/{name}", data)
        pointer = {"digest": version, "inputs": inputs, "files": sums}
        self.fs.pipe_file(f"{folder}/current.tmp", json.dumps(pointer, indent=1).encode())
        self.fs.mv(f"{folder}/current.tmp", f"{folder}/current.json")
        if not keep_old:
            for old in self.fs.ls(folder, detail=True):
                if old["type"] == "directory" and not old["name"].endswith(version):
                    self.fs.rm(old["name"], recursive=True)
        return Artefact(self, path, version, inputs, sums)

    def read(self, asset: str, partition: str | None = None) -> Artefact | None:
        """The current version, or None if the partition was never written."""
        folder = self._folder(asset, partition)
        try:
            pointer = json.loads(self.fs.cat_file(f"{folder}/current.json"))
        except FileNotFoundError:
            return None
        return Artefact(self, f"{folder}/{pointer['digest']}", pointer["digest"], pointer["inputs"], pointer["files"])

    def version(self, asset: str, partition: str | None, version: str) -> Artefact | None:
        """An older version that was kept, or None."""
        path = f"{self._folder(asset, partition)}/{version}"
        if not self.fs.exists(path):
            return None
        return Artefact(self, path, version, "", {Path(p).name: "" for p in self.fs.ls(path, detail=False)})

    def versions(self, asset: str, partition: str | None = None) -> list[str]:
        """The digests of all versions that are kept, sorted."""
        folder = self._folder(asset, partition)
        if not self.fs.exists(folder):
            return []
        return sorted(Path(entry["name"]).name for entry in self.fs.ls(folder, detail=True) if entry["type"] == "directory")

    def delete(self, asset: str, partition: str | None = None) -> None:
        """Remove a partition with all its versions, if it is there."""
        folder = self._folder(asset, partition)
        if self.fs.exists(folder):
            self.fs.rm(folder, recursive=True)

    def partitions(self, asset: str) -> list[str]:
        """Partitions with a current version, sorted."""
        pointers = self.fs.glob(f"{self.root}/{asset}/*/current.json")
        return sorted(unquote(Path(p).parent.name) for p in pointers)


def _encode(name: str, content: Content) -> tuple[str, bytes]:
    if isinstance(content, pd.DataFrame):
        return f"{name}.parquet", content.to_parquet(index=False)
    if isinstance(content, bytes):
        return name, content
    if isinstance(content, str):
        return name, content.encode()
    # keys keep their order: that of a tool's arguments is the order in which a model writes them
    return f"{name}.json", json.dumps(content, ensure_ascii=False, indent=1).encode()
