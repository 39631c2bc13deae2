"""One export from the lake to a folder: written aside, compared, checked, and only then put in its place."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from slm_pipeline.answers import answer_schema
from slm_pipeline.inference import prompt_form
from slm_pipeline.records import Json
from slm_pipeline.s3_cluster.parts import parts_of
from slm_pipeline.s3_cluster.templates import task_line
from slm_pipeline.s5_finetune.export.card import card
from slm_pipeline.s5_finetune.export.compare import require
from slm_pipeline.s5_finetune.export.forms import WRITERS, Job
from slm_pipeline.s5_finetune.export.quantise import Quantisation
from slm_pipeline.s5_finetune.export.source import Source, read_source
from slm_pipeline.settings import Settings

SUMS, RECORD = "SHA256SUMS", "export.json"


class NotOurs(ValueError):
    """The target folder holds something that no export wrote; nothing in it is touched."""


def export(
    group: str,
    form: str,
    out: Path,
    settings: Settings,
    version: str | None = None,
    quantisation: Quantisation | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Json:
    """Write a group's adapter (its champion, or `version`) into the folder `out` as one of WRITERS; returns what export.json holds.

    Everything is loaded back and compared with the adapter first. An earlier export in `out` is replaced. Of GGUF models `gguf` has
    all sizes, `ollama` that of the settings, unless `quantisation` names one. Raises LookupError (no such group, version or
    champion), LicenceRefused, NotExportable, NotOurs, ComparisonFailed.
    """
    _refuse_foreign(out)
    source = read_source(group, settings, version)
    job = Job(source, _quantisations(form, quantisation, settings), settings, say)
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as aside:
        folder = Path(aside) / "export"
        folder.mkdir()
        comparisons = WRITERS[form](job, folder)
        require(comparisons)
        record = {"group": group, "version": source.version, "adapter": source.digest, "form": form}
        record |= {"base": source.base.name, "compared": [c.json() for c in comparisons]}
        (folder / RECORD).write_text(json.dumps(record, indent=1))
        (folder / "tasks.json").write_text(json.dumps(_tasks(source), indent=1, ensure_ascii=False))
        (folder / "README.md").write_text(card(source, form, comparisons, settings))
        _write_sums(folder)
        _check_sums(folder)
        if out.exists():
            shutil.rmtree(out)
        folder.rename(out)
    return record


def _quantisations(form: str, asked: Quantisation | None, settings: Settings) -> tuple[Quantisation, ...]:
    if asked:
        return (asked,)
    return ("f16", "q8_0", "q4_k_m") if form == "gguf" else (settings.quantisation,)


def _tasks(source: Source) -> list[Json]:
    """How each task is asked and answered; of a prompt that is sent whole there is nothing to say."""
    if prompt_form(source.training) == "full":
        return []
    return [
        {
            "name": task["name"],
            "line": task_line(task),
            "static": [{key: part[key] for key in ("system", "text_prefix", "text_suffix")} for part in parts_of(task)],
            "schema": answer_schema(task["tools"], task["forms"], task["response_format"]),
        }
        for task in source.tasks.values()
    ]


def _refuse_foreign(out: Path) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not out.is_dir():
        raise NotOurs(f"{out} is a file: give a folder")
    ours = {SUMS, *_sums(out)}
    if foreign := sorted(name for name in _files(out) if name not in ours):
        raise NotOurs(f"{out} holds what no export wrote ({', '.join(foreign[:3])}): give an empty or a new folder")


def _write_sums(folder: Path) -> None:
    """SHA256SUMS, which `sha256sum -c` reads."""
    lines = [f"{_sha256(folder / name)}  {name}" for name in _files(folder)]
    (folder / SUMS).write_text("\n".join(lines) + "\n")


def _check_sums(folder: Path) -> None:
    """Read every file again; a disk that is full or broken must not go unnoticed."""
    if wrong := [name for name, sha in _sums(folder).items() if _sha256(folder / name) != sha]:
        raise OSError(f"written otherwise than read back: {', '.join(wrong)}")


def _sums(folder: Path) -> dict[str, str]:
    if not (folder / SUMS).exists():
        return {}
    lines = (folder / SUMS).read_text().splitlines()
    return {name: sha for sha, name in (line.split("  ", 1) for line in lines)}


def _files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
