"""Writes README's result section anew, from what `make demo` left in the lake.

make demo
.venv/bin/python scripts/readme_result.py
"""

import re

from slm_pipeline.lake import Lake
from slm_pipeline.s5_finetune.methods import training_dtype
from slm_pipeline.s6_refine.scoreboard import change, share
from slm_pipeline.settings import REPOSITORY, get_settings

SECTION = """\
**Result** of `make demo`: one group of {tasks} tool-calling tasks, {examples} training calls, {base} with an adapter of
{megabytes:.0f} MB, {n} test calls it has never seen; brackets hold 95 % intervals that resample sessions.

| | untuned base at its best | adapter | difference, paired |
| --- | ---: | ---: | ---: |
| whole call right (tool and typed arguments) | {base_call} | {call} | {gain} points |
| right tool (always the majority tool: {majority}) | {base_tool} | {tool} | {tool_gain} points over majority |

Both sides are decoded under the same schema constraint; the base is shown two examples and asked in two forms, of which the better counts
(all tool schemas in full: {full:.1%}; factored like the adapter's prompt: {factored:.1%}). The scoreboard prints these figures; the two
prompt forms stand in the panel of `eval_report`. What both are asked is redacted: stand-ins for places and names make it harder than the
questions were. It trained in {dtype} (bfloat16 where the processor multiplies it natively, else float32, which takes longer). What its
release promises of live traffic: {promise}.
"""


def result() -> str:
    """The section's text."""
    lake = Lake(get_settings().lake)
    (group,) = lake.partitions("s6_refine/eval_report")
    report = lake.read("s6_refine/eval_report", group).json("report")
    adapter = lake.read("s5_finetune/adapter", group)
    training, systems, gain = adapter.json("training"), report["systems"], report["gain"]
    section = SECTION.format(
        tasks=len(lake.read("s3_cluster/task_examples", group).json("tasks")),
        examples=training["examples"],
        base=training["base"],
        megabytes=len(adapter.bytes("adapter_model.safetensors")) / 1e6,
        n=report["n"],
        base_call=share(systems["base"]["accuracy"]),
        call=_with_interval(systems["adapter"]["accuracy"]),
        gain=change(gain["base"]["accuracy"]),
        majority=share(systems["majority"]["tool"]),
        base_tool=share(systems["base"]["tool"]),
        tool=share(systems["adapter"]["tool"]),
        tool_gain=change(gain["majority"]["tool"]),
        **report["base"]["forms"],
        dtype=str(training_dtype()).removeprefix("torch."),
        promise=lake.read("s6_refine/release").json("release")["groups"][group]["certificates"]["group"]["told"],
    )
    return re.sub(r"(?<=\d)%", " %", section)


def _with_interval(score: dict) -> str:
    return f"{share(score)} [{score['low'] * 100:.1f}, {score['high'] * 100:.1f}]"


if __name__ == "__main__":
    readme = REPOSITORY / "README.md"
    before, rest = readme.read_text().split("**Result**")
    readme.write_text(before + result() + "\n## Two commands" + rest.split("## Two commands", 1)[1])
