"""What a person and the later stages want to know about a task, all from its training calls."""

import json
from collections import Counter
from collections.abc import Sequence

from slm_pipeline.lake import digest
from slm_pipeline.records import Json
from slm_pipeline.s3_cluster.assignment import task_template
from slm_pipeline.s3_cluster.calls import Call
from slm_pipeline.s3_cluster.marks import plain
from slm_pipeline.s3_cluster.slots import slot_kinds
from slm_pipeline.s3_cluster.structure import is_multi_turn

SLOT_CALLS = 200  # that say what kind of value stands in a slot


def described(task: Json, calls: Sequence[Call]) -> Json:
    """The task with agents, breakdown of actions, form of answer, turns, slots and the version of its template.

    `actions`: share of the calls that use a tool, or answer with text or JSON. `slots`: the kinds of the template's slots, in reading
    order (`slots.slot_kinds`). `template_version` changes with any byte of the static part.
    """
    if not calls:
        return task | {"train_calls": 0}
    actions, forms = Counter(), Counter()
    for call in calls:
        kind = text_kind(call.answer["text"])
        actions.update({tool["name"] for tool in call.answer["tool_calls"]} or {kind})
        forms["tool_call" if call.answer["tool_calls"] else kind] += 1
    multi = sum(is_multi_turn(call.request) for call in calls)
    variants = Counter(call.variant for call in calls)
    shown = next(call for call in calls if call.variant == min(variants, key=lambda variant: (-variants[variant], variant)))
    form, count = min(forms.items(), key=lambda item: (-item[1], item[0]))
    made = task | {
        "agents": sorted({call.agent for call in calls}),
        "tools": shown.request.get("tools") or None,
        "response_format": shown.request.get("response_format"),
        "train_calls": len(calls),
        "actions": {name: round(n / len(calls), 4) for name, n in sorted(actions.items(), key=lambda item: (-item[1], item[0]))},
        "answer_form": form if count >= 0.95 * len(calls) else "mixed",
        "turns": "multi" if 2 * multi > len(calls) else "single",
        "slots": slot_kinds(task_template(task), [plain(call.wording) for call in calls[:SLOT_CALLS]]) if task["kind"] == "prefix" else [],
    }
    return made | {"template_version": template_version(made)}


def template_version(task: Json) -> str:
    """The digest of all that is static in a task's calls: system prompt, tools, response format (as variants), head and tail."""
    return digest(task["system"], sorted(task["variants"]), task["text_prefix"], task["text_suffix"])


def text_kind(text: str) -> str:
    """`json` if the text is a JSON object or list, else `text`."""
    try:
        return "json" if isinstance(json.loads(text), dict | list) else "text"
    except (ValueError, RecursionError):
        return "text"
