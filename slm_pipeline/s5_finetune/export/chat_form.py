"""A chat template as what it writes around the messages: the form in which Ollama's templates can say it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slm_pipeline.prompting import render_prompt
from slm_pipeline.records import Json
from slm_pipeline.s5_finetune.export.layout import NotExportable

SYSTEM, USER, ASSISTANT, AGAIN = "system-probe", "user-probe", "assistant-probe", "again-probe"


@dataclass(frozen=True)
class ChatForm:
    """What stands before a first system or user message, after a system message, between a user message and its answer, and between
    an answer and the next user message."""

    system: str
    user: str
    after_system: str
    to_answer: str
    after_answer: str

    def render(self, messages: Sequence[Json]) -> str:
        """The prompt of a conversation whose turns alternate."""
        text = self.system if messages[0]["role"] == "system" else self.user
        after = {"system": self.after_system, "user": self.to_answer, "assistant": self.after_answer}
        return text + "".join(message["content"] + after[message["role"]] for message in messages)

    def go_template(self) -> str:
        """The same in Go's template language."""
        system, user, after_system, to_answer, after_answer = (
            f"{{{{ {json.dumps(text, ensure_ascii=False)} }}}}" if text else ""
            for text in (self.system, self.user, self.after_system, self.to_answer, self.after_answer)
        )
        content = "{{ $m.Content }}"
        return (
            "{{ range $i, $m := .Messages }}"
            f'{{{{ if eq $m.Role "system" }}}}{system}{content}{after_system}'
            f'{{{{ else if eq $m.Role "assistant" }}}}{content}{after_answer}'
            f"{{{{ else }}}}{{{{ if eq $i 0 }}}}{user}{{{{ end }}}}{content}{to_answer}"
            "{{ end }}{{ end }}"
        )


def chat_form(folder: Path, conversations: Sequence[Sequence[Json]]) -> ChatForm:
    """The form of the chat template in `folder`, proven on `conversations`. Raises NotExportable where it is another than this.

    Some templates take away the white space around a message, which Go cannot: there whoever asks does.
    """
    turns = [_turn("user", USER), _turn("assistant", ASSISTANT), _turn("user", AGAIN)]
    parts = _between(render_prompt([_turn("system", SYSTEM), *turns], folder), [SYSTEM, USER, ASSISTANT, AGAIN])
    alone = _between(render_prompt(turns, folder), [USER, ASSISTANT, AGAIN])
    refusal = NotExportable(
        f"the chat template of {folder.name} writes more than fixed text around messages, which Ollama's templates cannot: export as gguf"
    )
    if parts is None or alone is None:
        raise refusal
    form = ChatForm(parts[0], alone[0], *parts[1:4])
    probes = [turns, [_turn("system", SYSTEM), *turns], *conversations]
    for messages in probes:
        bare = [message | {"content": message["content"].strip()} for message in messages]
        if render_prompt(list(messages), folder) not in (form.render(messages), form.render(bare)):
            raise refusal
    return form


def _between(text: str, words: Sequence[str]) -> list[str] | None:
    """What stands before, between and after `words`; None unless each is there once, in this order."""
    parts = []
    for word in words:
        if text.count(word) != 1:
            return None
        before, text = text.split(word)
        parts.append(before)
    return [*parts, text]


def _turn(role: str, content: str) -> Json:
    return {"role": role, "content": content}
