"""What Ollama is told of a chat template writes what the template itself writes, or nothing is told."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm_pipeline.prompting import render_prompt
from slm_pipeline.s4_select.base_models import TEMPLATES
from slm_pipeline.s5_finetune.export import NotExportable
from slm_pipeline.s5_finetune.export.chat_form import chat_form

TURNS = "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
CHATML = TURNS + "{{ '<|im_start|>assistant\n' }}"
DEFAULT_SYSTEM = "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou help.<|im_end|>\n' }}{% endif %}" + CHATML
GEMMA = (TEMPLATES / "gemma.jinja").read_text()
COUNTING = "{% for m in messages %}[{{ loop.index }}] {{ m['content'] }}\n{% endfor %}"

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\r"), min_size=1).map(str.strip).filter(bool)


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory):
    def folder_of(template: str):
        folder = tmp_path_factory.mktemp("base")
        (folder / "chat_template.jinja").write_text(template)
        (folder / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<bos>", "eos_token": "<eos>"}))
        return folder

    return folder_of


@pytest.mark.parametrize("template", [CHATML, DEFAULT_SYSTEM, GEMMA], ids=["chatml", "default system", "gemma"])
def test_any_conversation_reads_the_same(template, folder_of):
    folder = folder_of(template)
    form = chat_form(folder, [])

    @given(st.lists(WORDS, min_size=1, max_size=5).filter(lambda turns: len(turns) % 2), st.none() | WORDS)
    def check(turns, system):
        messages = [{"role": "user" if i % 2 == 0 else "assistant", "content": text} for i, text in enumerate(turns)]
        messages = ([{"role": "system", "content": system}] if system else []) + messages
        assert form.render(messages) == render_prompt(messages, folder)

    check()


def test_go_says_it_with_the_same_pieces(folder_of):
    """Every literal of the Go template is a piece of the form, as a string that Go reads."""
    form = chat_form(folder_of(DEFAULT_SYSTEM), [])
    template = form.go_template()
    literals = [json.loads(text) for text in re.findall(r'\{\{ ("(?:[^"\\]|\\.)*") \}\}', template)]
    assert literals == [form.system, form.after_system, form.after_answer, form.user, form.to_answer]
    assert form.user.startswith("<|im_start|>system\nYou help.<|im_end|>\n"), "what stands where no system message is given"
    assert template.count("{{ end }}") == len(re.findall(r"\{\{ (?:if|range) ", template))


def test_a_template_that_counts_its_messages_is_refused(folder_of):
    with pytest.raises(NotExportable, match="more than fixed text around messages"):
        chat_form(folder_of(COUNTING), [[{"role": "user", "content": "a"}]])


def test_a_template_that_strips_messages_is_told_for_stripped_ones(folder_of):
    spaced = [{"role": "user", "content": "  a\n"}]
    form = chat_form(folder_of(GEMMA), [spaced])
    assert form.render([{"role": "user", "content": "a"}]) == render_prompt(spaced, folder_of(GEMMA))


def test_conversations_that_the_form_cannot_say_are_refused(folder_of):
    """Two user messages in a row, as some agents send: the form knows turns that alternate."""
    twice = [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]
    with pytest.raises(NotExportable):
        chat_form(folder_of(CHATML), [twice])
