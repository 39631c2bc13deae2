"""What Langfuse keeps of request and answer: input, output, parameters and usage of a generation, in the many forms that SDKs write."""

from slm_pipeline.records import Json
from slm_pipeline.s1_collect.importers import fields
from slm_pipeline.s1_collect.importers.fields import count, json_text, number, parsed, pick, table, text


def body_of(observation: Json) -> Json | None:
    """The request: the input is the messages, or an object that holds them beside tools; parameters stand elsewhere."""
    asked = parsed(observation.get("input"))
    if asked is None:
        return None
    model = text(pick(observation, "provided_model_name", "model"))
    named = table(pick(observation, "model_parameters"))
    parameters = {key: _value(value) for key, value in named.items() if value not in (None, "Infinity")}
    defined = parsed(pick(observation, "tool_definitions"))
    if isinstance(defined, dict):
        defined = [table(tool) | ({} if "name" in table(tool) else {"name": name}) for name, tool in defined.items()]
    tools = [parsed(tool) for tool in defined] if isinstance(defined, list) else []
    if tools:
        parameters["tools"] = [
            tool if not isinstance(tool, dict) or "function" in tool else {"type": "function", "function": tool} for tool in tools
        ]
    form = table(observation.get("metadata")).get("response_format")
    parameters |= {"response_format": form} if isinstance(form, dict) else {}
    body = asked if isinstance(asked, dict) else {"messages": asked if isinstance(asked, list) else [{"role": "user", "content": asked}]}
    if isinstance(asked, dict) and not any(key in asked for key in ("messages", "input", "prompt")):
        body = {"messages": [asked if "role" in asked else {"role": "user", "content": json_text(asked)}]}
    return ({"model": model} if model else {}) | parameters | body


def _value(value: object) -> object:
    """Exports write parameters as text: numbers are numbers again."""
    amount = number(value) if isinstance(value, str) else None
    return value if amount is None else int(amount) if amount.is_integer() else amount


def answer_of(observation: Json) -> object:
    """The output; JSON text that is no message is what the model said, and stays text."""
    answer = observation.get("output")
    if not isinstance(answer, str):
        return answer
    inside = parsed(answer)
    return inside if isinstance(inside, dict) and any(key in inside for key in ("role", "choices", "tool_calls")) else answer


def usage_of(observation: Json) -> Json | None:
    """The tokens in OpenAI's words: of the details, or of what older rows have."""
    details, usage = table(pick(observation, "usage_details")), table(observation.get("usage"))
    if not details:
        known = ("prompt_tokens", "completion_tokens", "total_tokens")
        old = [pick(usage, old, new) or pick(observation, new) for old, new in zip(("input", "output", "total"), known, strict=True)]
        return fields.usage_of(*old)
    # cached and audio tokens are counted apart, under names that begin alike
    sums = [[count(v) or 0 for k, v in details.items() if k.startswith(side)] for side in ("input", "output")]
    extra = {k: v for k, v in details.items() if k not in ("input", "output", "total", "prompt", "completion")}
    return fields.usage_of(*(sum(side) if side else None for side in sums), details.get("total"), **extra)
