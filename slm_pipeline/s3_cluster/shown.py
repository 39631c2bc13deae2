"""What a person is shown of a call: the part of its (redacted) prompt that varies."""

from slm_pipeline.records import Json
from slm_pipeline.s3_cluster.assignment import task_template
from slm_pipeline.s3_cluster.marks import plain
from slm_pipeline.s3_cluster.parts import parts_of
from slm_pipeline.s3_cluster.structure import conversation
from slm_pipeline.s3_cluster.templates import factor, wording

BETWEEN = " ⟨…⟩ "


def asked_text(request: Json, task: Json) -> str:
    """What stands in the slots of a templated prompt, else the last message without head and tail; on one line.

    Raises TemplateChanged if the prompt is none of the task's.
    """
    messages = factor(request, task)[1:]
    if len(conversation(request)) == 1:
        for part in parts_of(task):
            text = plain(wording(request, part["system"]))
            if part["kind"] == "prefix" and task_template(part).matched(text):
                return BETWEEN.join(value for value in task_template(part).values(text) if value)
    return " ".join(messages[-1]["content"].split()) if messages else ""
