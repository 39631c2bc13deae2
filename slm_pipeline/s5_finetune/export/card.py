"""The model card of an export: README.md with the front matter that model hubs read."""

import yaml

from slm_pipeline.inference import prompt_form
from slm_pipeline.records import Json
from slm_pipeline.s5_finetune.export.compare import LOGITS, Comparison
from slm_pipeline.s5_finetune.export.source import Source
from slm_pipeline.scores import SCORES
from slm_pipeline.settings import Settings

LIBRARIES = {"peft": "peft", "merged": "transformers", "gguf": "gguf", "ollama": "gguf", "vllm": "vllm"}
OPEN_LICENCES = {"Apache-2.0": "apache-2.0", "MIT": "mit"}
SHOWN = {"adapter": "this adapter", "base": "base, not fine-tuned", "teacher": "teacher", "majority": "always the commonest tool"}


def card(source: Source, form: str, comparisons: list[Comparison], settings: Settings) -> str:
    """README.md of an export in that form."""
    parts = [
        f"---\n{yaml.safe_dump(_front_matter(source, form), sort_keys=False, allow_unicode=True)}---",
        f"# {source.group}, version {source.version}",
        f"A small language model for one kind of call of one agent: {source.base.name}, fine-tuned by slm_pipeline on answers that a "
        f"larger model gave, or that were corrected or known to be right.",
        "## How to load it\n\n" + _loading(source, form, comparisons, settings),
        "## How it is asked\n\n" + _asked(source, settings),
        "## Scores\n\n" + _scores(source),
        "## What it was made of\n\n" + _made_of(source),
        "## Compared with the adapter in the lake\n\n" + _compared(source, form, comparisons),
        "## Limits\n\n" + _limits(source, settings),
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(source: Source, form: str) -> Json:
    licence = source.known.licence
    named = OPEN_LICENCES.get(licence or "")
    stated = {"license": named} if named else {"license": "other", "license_name": licence or "not confirmed"}
    link = {} if named else {"license_link": source.known.source_of("licence")}
    languages = {"language": list(source.known.languages)} if source.known.languages else {}
    relation = {"merged": "finetune", "gguf": "quantized", "ollama": "quantized"}.get(form)
    return {
        "base_model": source.base_id,
        "base_model_relation": relation or ("adapter" if source.plain_lora or form == "peft" else "finetune"),
        **stated,
        **link,
        "library_name": LIBRARIES[form],
        "pipeline_tag": "text-generation",
        **languages,
        "tags": ["slm_pipeline", _method(source), form],
    }


def _loading(source: Source, form: str, comparisons: list[Comparison], settings: Settings) -> str:
    if form == "peft":
        return _code(
            "python",
            "from peft import PeftModel\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
            f'base = AutoModelForCausalLM.from_pretrained("{source.base_id}")\n'
            'model = PeftModel.from_pretrained(base, ".")\ntokenizer = AutoTokenizer.from_pretrained(".")',
        )
    if form == "merged":
        return _code(
            "python",
            "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
            'model = AutoModelForCausalLM.from_pretrained(".")\ntokenizer = AutoTokenizer.from_pretrained(".")',
        ) + ("\n\nIts weights are fp32: rounded to bf16, a merged model says something else than its adapter.")
    if form == "gguf":
        context = settings.context_tokens
        sizes = {c.form.partition(".")[0].partition("-")[2] for c in comparisons}
        size = "q8_0" if "q8_0" in sizes else min(sizes)
        if source.activated:
            return _code("sh", f"llama-server -m base-{size}.gguf --lora adapter.gguf -c {context} --temp 0 --jinja")
        return _code("sh", f"llama-server -m merged-{size}.gguf -c {context} --temp 0 --jinja") + (
            f"\n\nWhere `adapter.gguf` is among the files, a base serves too: `llama-server -m base-{size}.gguf --lora adapter.gguf ...`. "
            "One server, one adapter: llama.cpp's prompt cache does not tell adapters apart."
        )
    if form == "ollama":
        commands = _code("sh", f"ollama create {source.group} -f Modelfile\nollama run {source.group}")
        return f"{commands}\n\nGive messages without white space around them: some chat templates take it away, Ollama's cannot."
    base = f" The base is fetched as `{source.base_id}`; `BASE=folder ./serve.sh` takes another copy." if source.plain_lora else ""
    return _code("sh", "./serve.sh --port 8000") + f"\n\nAsk it for the model `{source.group}`.{base}"


def _asked(source: Source, settings: Settings) -> str:
    template = "The chat template (`chat_template.jinja`, or the one in the GGUF file or Modelfile) is the base's."
    length = f"Prompts longer than {settings.max_prompt_tokens} tokens lose their oldest messages. Decoding is greedy."
    if prompt_form(source.training) == "full":
        return f"With the agent's messages as they are; tools stand as JSON in the system message. {template} {length}"
    return (
        "With the template factored out: one system line that names the task (`line` in `tasks.json`), then only what varies: the "
        f"messages without the static system prompt, tools and the opening's fixed head and tail. {template} {length} An answer that "
        "is a tool call is one JSON object of name and arguments, as `schema` in `tasks.json` says; decode under that schema."
    )


def _scores(source: Source) -> str:
    if source.scores is None:
        return "Not evaluated."
    shown = [score for score in SCORES if any(_mean(system, score) is not None for system in source.scores.values())]
    lines = [f"| | n | {' | '.join(shown)} |", "|---|---:|" + "---:|" * len(shown)]
    for name, title in SHOWN.items():
        if system := source.scores.get(name):
            lines.append(f"| {title} | {system['n']} | {' | '.join(_interval(system.get(score)) for score in shown)} |")
    return "\n".join(lines) + "\n\nOn test calls it was not trained on; brackets hold 95 % intervals that resample sessions."


def _made_of(source: Source) -> str:
    training, data = source.training, source.data
    when = "" if "data" in training else " (as the lake has them now)"
    tasks = ", ".join(f"{name} ({n})" for name, n in data["tasks"].items())
    lines = [
        f"- Base: {source.base.name}, {source.known.licence or 'licence not confirmed'} ({source.known.source_of('licence')}).",
        f"- Method: {_method(source)}, {training['examples']} examples, {training['failures_seen']} of them calls an SLM failed on.",
        f"- Data: digest `{training['dataset_digest']}`, trained as `{training['training_digest']}`, adapter `{source.digest}`.",
        f"- Examples{when}: `{data['digest']}`, curation version {data['curation']}, {data['days']} days from {data['first_day']} to "
        f"{data['last_day']}; calls by split: {_counts(data['splits'])}; targets: {_counts(data['targets'])}. Personal data and secrets "
        f"were taken out before.",
        f"- Tasks: {tasks}.",
        f"- Teachers: {_counts(source.licence.teachers)}. Licences and terms: {source.licence.level}.",
        *(f"  - {reason}" for reason in source.licence.reasons),
    ]
    return "\n".join(lines)


def _compared(source: Source, form: str, comparisons: list[Comparison]) -> str:
    lines = ["| file | measure | prompts | value | bar |", "|---|---|---:|---:|---:|"]
    for c in comparisons:
        bar = "none" if c.bar is None else f"{'≤' if c.measure == LOGITS else '≥'} {c.bar:g}"
        lines.append(f"| {c.form} | {c.measure} | {c.n} | {c.value:.3g} | {bar} |")
    notes = {
        "ollama": "\n\nOllama was not started for this: llama.cpp, which it runs, was asked the prompts, and the Modelfile's template was "
        "proven to write what the chat template writes for every validation prompt.",
        "vllm": "\n\nvLLM was not started for this: the files were loaded by transformers.",
    }
    return "\n".join(lines) + f"\n\nValidation prompts; the adapter in PEFT, fp32, is what is compared with.{notes.get(form, '')}"


def _limits(source: Source, settings: Settings) -> str:
    untested = [] if source.scores else ["Nobody has measured how good it is: it was not evaluated."]
    few = (source.scores or {}).get("adapter", {}).get("n", settings.min_test_calls) < settings.min_test_calls
    lines = [
        *untested,
        *([f"It was tested on fewer than {settings.min_test_calls} calls."] if few else []),
        "It answers calls of the tasks above, in the form above; anything else it answers badly, and without saying so.",
        "It was trained on redacted calls: names and places in them are stand-ins.",
        "It repeats its teacher's mistakes where no correction was known.",
        f"It was trained on {source.base.name} as slm_pipeline has it; another copy of the base (other rounding) may answer otherwise.",
    ]
    return "\n".join(f"- {line}" for line in lines)


def _method(source: Source) -> str:
    return source.training.get("params", {}).get("method", "lora")


def _mean(system: Json, score: str) -> float | None:
    return (system.get(score) or {}).get("mean")


def _interval(score: Json | None) -> str:
    if not score or score.get("mean") is None:
        return ""
    bounds = "" if score["low"] is None else f" [{score['low']:.1%}, {score['high']:.1%}]"
    return f"{score['mean']:.1%}{bounds}"


def _counts(numbers: dict[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in numbers.items()) or "none"


def _code(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```"
