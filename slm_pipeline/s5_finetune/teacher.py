"""The model whose logits are distilled (`distill.py`): where it lies, and whether its tokens are the student's."""

import json
from pathlib import Path

from slm_pipeline.prompting import fit_messages, render_prompt, token_ids
from slm_pipeline.records import Json
from slm_pipeline.s4_select.base_models import ensure_base
from slm_pipeline.settings import Settings

NEEDED = ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
TOKENS = ("model", "added_tokens", "normalizer", "pre_tokenizer")
"""The parts of tokenizer.json on which token ids depend."""
INSTEAD = "Unset SLM_TEACHER_MODEL: recorded answers are learned without it."


class TeacherRefused(ValueError):
    """Logits of `settings.teacher_model` cannot be distilled; says why."""


def teacher_folder(settings: Settings, student: Path) -> Path | None:
    """The folder of `settings.teacher_model` (a folder in Hugging Face form, or a name in the catalogue), None if there is none.

    Raises TeacherRefused if the folder is none, or if its tokens are not those of the base in folder `student`.
    """
    if settings.teacher_model is None:
        return None
    folder = Path(settings.teacher_model).expanduser()
    if not folder.is_dir():
        folder = ensure_base(settings.teacher_model, settings).folder
    if missing := [name for name in NEEDED if not (folder / name).exists()]:
        raise TeacherRefused(f"teacher_model {folder}: {', '.join(missing)} is missing. {INSTEAD}")
    mine, theirs = (json.loads((one / "tokenizer.json").read_text()) for one in (student, folder))
    if differing := [part for part in TOKENS if mine.get(part) != theirs.get(part)]:
        raise TeacherRefused(
            f"teacher_model {folder}: its tokenizer.json differs from that of {student.name} in {', '.join(differing)}, "
            f"and logits can be distilled only between models of the same tokens. {INSTEAD}"
        )
    return folder


def teacher_prompt(full_messages: list[Json], folder: Path, settings: Settings) -> list[int]:
    """What the teacher in `folder` is asked: the prompt as it was sent, for it has not learned the template by heart."""
    messages, _ = fit_messages(full_messages, folder, settings.base_prompt_tokens)
    return token_ids(render_prompt(messages, folder), folder)
