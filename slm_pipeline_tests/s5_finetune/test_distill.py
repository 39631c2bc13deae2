"""What a teacher's logits add: a student that says what the teacher might have said; and which teachers are refused."""

import json
from dataclasses import replace

import pandas as pd
import pytest
import torch

from slm_pipeline.s4_select.base_models import BaseFiles
from slm_pipeline.s5_finetune import distill
from slm_pipeline.s5_finetune.dataset import build_dataset
from slm_pipeline.s5_finetune.distill import distillation_loss, what_teacher_says
from slm_pipeline.s5_finetune.fit import trained
from slm_pipeline.s5_finetune.loss import answer_logits, answer_loss, collate
from slm_pipeline.s5_finetune.methods import load_model
from slm_pipeline.s5_finetune.teacher import TeacherRefused, teacher_folder
from slm_pipeline.settings import get_settings
from slm_pipeline_tests.s5_finetune.toy import CONFIG, PAD, dataset, examples
from slm_pipeline_tests.tiny import NAME, make_tiny_base
from slm_pipeline_tests.tiny_architectures import make_tiny_model

ALPHA, TEMPERATURE = 0.5, 2.0


@pytest.fixture
def student(home):
    folder = make_tiny_base(home)
    return BaseFiles(NAME, folder, folder / "model.gguf")


@pytest.fixture
def teacher(tmp_path):
    return make_tiny_model("qwen", tmp_path / "teacher")


def asked(count: int):
    return [replace(example, full_prompt=[7, *example.prompt]) for example in examples(count)]


def losses(student, teacher, batch):
    """Distillation loss of a batch, and logits of both sides at its answer tokens."""
    told = what_teacher_says(teacher, batch, 4, PAD, student.config.vocab_size, TEMPERATURE)
    log_probs, tokens = (torch.cat(parts) for parts in zip(*(told[id(e)] for e in batch), strict=True))
    ids, labels = collate(batch, PAD)
    loss, _ = distillation_loss(student, {"input_ids": ids}, labels, (log_probs, tokens), ALPHA, TEMPERATURE)
    full_ids, full_labels = collate([replace(e, prompt=e.full_prompt) for e in batch], PAD)
    (said, _), (taught, _) = (
        answer_logits(*a) for a in ((student, {"input_ids": ids}, labels), (teacher, {"input_ids": full_ids}, full_labels))
    )
    return loss, answer_loss(student, {"input_ids": ids}, labels)[0], said, taught


def test_the_loss_is_that_of_hinton_where_all_tokens_are_kept(student, teacher, monkeypatch):
    monkeypatch.setattr(distill, "TOP", 10_000)
    with torch.no_grad():
        loss, plain, said, taught = losses(load_model(student.folder, "full"), load_model(teacher, "full"), asked(6))
    soft = torch.nn.functional.kl_div(
        (said / TEMPERATURE).log_softmax(-1), (taught / TEMPERATURE).log_softmax(-1), log_target=True, reduction="batchmean"
    )
    torch.testing.assert_close(loss, (1 - ALPHA) * plain + ALPHA * TEMPERATURE**2 * soft)


def test_what_is_left_out_of_a_teachers_distribution_is_its_unlikely_end(student, teacher):
    told = what_teacher_says(load_model(teacher), asked(6), 4, PAD, 259, TEMPERATURE)
    for log_probs, tokens in told.values():
        assert log_probs.shape == tokens.shape == (4, 64)
        torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(4))
        assert bool((log_probs[:, :-1] >= log_probs[:, 1:]).all())


def test_a_student_comes_closer_to_its_teacher_than_by_answers_alone(student, teacher, monkeypatch):
    """The teacher has learned to answer otherwise than was recorded."""
    otherwise = [replace(example, answer=[40, 41, 42, 1]) for example in asked(20)]
    taught, *_ = trained(
        replace(student, folder=teacher),
        replace(dataset(), training=otherwise, validation=otherwise),
        replace(CONFIG, method="full", upper_layers=1.0),
        get_settings(),
    )
    taught.save_pretrained(teacher)

    def distance() -> float:
        model, *_ = trained(student, replace(dataset(), training=asked(20)), CONFIG, get_settings())
        with torch.no_grad():
            _, _, said, wanted = losses(model.eval(), load_model(teacher), asked(8))
        return torch.nn.functional.kl_div(said.log_softmax(-1), wanted.log_softmax(-1), log_target=True, reduction="batchmean").item()

    alone = distance()
    monkeypatch.setenv("SLM_TEACHER_MODEL", str(teacher))
    assert distance() < 0.8 * alone


def test_the_teacher_reads_the_prompt_as_it_was_sent(student, teacher, monkeypatch):
    monkeypatch.setenv("SLM_TEACHER_MODEL", str(teacher))
    long, short = ([{"role": "system", "content": text}, {"role": "user", "content": "?"}] for text in ("all of it", ""))
    row = {"split": "train", "task": "t", "form": "text", "failed": False, "answer": "yes"}
    built = build_dataset(
        pd.DataFrame([row | {"messages": json.dumps(short), "full_messages": json.dumps(long)}]), student.folder, get_settings()
    )
    (example,) = built.training
    assert len(example.full_prompt) == len(example.prompt) + len("all of it")


def test_a_teacher_of_other_tokens_is_refused(student, teacher, monkeypatch):
    path = teacher / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"]["merges"] = []
    path.write_text(json.dumps(content))
    monkeypatch.setenv("SLM_TEACHER_MODEL", str(teacher))
    with pytest.raises(TeacherRefused, match=f"differs from that of {NAME} in model.*Unset SLM_TEACHER_MODEL"):
        teacher_folder(get_settings(), student.folder)


def test_a_folder_that_is_no_model_is_refused(student, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("SLM_TEACHER_MODEL", str(tmp_path / "empty"))
    with pytest.raises(TeacherRefused, match=r"config.json, tokenizer.json, .* missing"):
        teacher_folder(get_settings(), student.folder)


def test_a_name_that_the_catalogue_has_not_lists_those_it_has(student, monkeypatch):
    monkeypatch.setenv("SLM_TEACHER_MODEL", "no-such-model")
    with pytest.raises(LookupError, match="no base model 'no-such-model' in the catalogue; there are"):
        teacher_folder(get_settings(), student.folder)
