"""Every architecture of the catalogue trains through the same path, and comes out in the same forms."""

import pytest
import torch

from slm_pipeline.s4_select.base_models import BaseFiles
from slm_pipeline.s5_finetune.dataset import Encoded
from slm_pipeline.s5_finetune.export import NotExportable, adapter_to_gguf
from slm_pipeline.s5_finetune.export.merge import adapted_model, merge
from slm_pipeline.s5_finetune.fit import fit
from slm_pipeline.s5_finetune.frozen import FrozenPart
from slm_pipeline.s5_finetune.loss import collate
from slm_pipeline.s5_finetune.methods import load_model, with_trainable
from slm_pipeline.settings import get_settings
from slm_pipeline_tests.s5_finetune.toy import CONFIG, PAD, dataset, examples, files, loss_of, same
from slm_pipeline_tests.tiny import CATALOGUE, NAME
from slm_pipeline_tests.tiny_architectures import ARCHITECTURES, make_tiny_model


class Killed(BaseException):
    pass


@pytest.fixture(scope="module", params=ARCHITECTURES)
def folder(request, tmp_path_factory):
    return make_tiny_model(request.param, tmp_path_factory.mktemp(request.param))


def test_trains_resumes_evaluates_merges_and_exports(folder, home, monkeypatch):
    monkeypatch.setenv("SLM_CHECKPOINT_STEPS", "2")
    (home / "models").mkdir()
    (home / "models" / "catalogue.yaml").write_text(CATALOGUE)
    base, settings = BaseFiles(NAME, folder, folder / "model.gguf"), get_settings()
    whole, resumed, merged = (home / name for name in ("whole", "resumed", "merged"))
    whole.mkdir()
    resumed.mkdir()
    untrained, _ = loss_of(load_model(folder), examples(4))

    curves = fit(base, dataset(), CONFIG, settings, whole)
    assert curves["best_loss"] < 0.95 * untrained.item()

    def kill(step: int, steps: int, loss: float) -> None:
        if step == 8:  # in the second of three epochs of five steps
            raise Killed

    with pytest.raises(Killed):
        fit(base, dataset(), CONFIG, settings, resumed, home / "state.pt", kill)
    steps = []
    again = fit(base, dataset(), CONFIG, settings, resumed, home / "state.pt", lambda step, *_: steps.append(step))
    assert steps[0] == 7
    assert again == curves
    assert files(resumed) == files(whole)

    merge(whole, folder, merged)
    ids, _ = collate(examples(6), PAD)
    with torch.no_grad():
        beside, within = (model(input_ids=ids).logits for model in (adapted_model(whole, folder), load_model(merged, "full")))
    torch.testing.assert_close(within, beside, atol=1e-3, rtol=0)

    try:
        adapter_to_gguf(whole, folder, home / "adapter.gguf")
    except NotExportable as error:
        pytest.skip(f"NOT EXPORTED TO GGUF: {error}")
    assert (home / "adapter.gguf").read_bytes() == files(whole)["adapter.gguf"]


def test_layers_below_the_cut_are_computed_once_to_the_same_effect(folder):
    model, batch = with_trainable(load_model(folder), CONFIG), examples(4)
    frozen = FrozenPart(model, [1], batch, 4, PAD)
    assert len(frozen.hidden) == 4, "the decoder was cut"
    assert torch.equal(frozen.loss(batch)[0], loss_of(model, batch)[0])


def test_gradient_checkpointing_keeps_less_to_the_same_effect(folder):
    measured = []
    for kwargs in (None, {"use_reentrant": False}):
        model, batch, kept = with_trainable(load_model(folder), CONFIG).train(), examples(4), []
        frozen = FrozenPart(model, [1], batch, 4, PAD)
        if kwargs:
            model.activation_checkpointing_enable(kwargs)
        with torch.autograd.graph.saved_tensors_hooks(
            lambda tensor, kept=kept: kept.append(tensor.numel()) or tensor, lambda tensor: tensor
        ):
            loss, _ = frozen.loss(batch)
        size = sum(kept)
        loss.backward()
        measured.append((loss, {name: p.grad for name, p in model.named_parameters() if p.requires_grad}, size))
    (loss, gradients, size), (same_loss, same_gradients, smaller) = measured
    assert torch.equal(loss, same_loss)
    assert same(gradients, same_gradients)
    assert smaller < 0.7 * size


def test_loss_is_that_of_the_models_own_logits(folder):
    """Some models scale or cap what their head says."""
    model = load_model(folder, "full")
    ids, labels = collate(examples(6), PAD)
    torch.testing.assert_close(loss_of(model, examples(6))[0], model(input_ids=ids, labels=labels, use_cache=False).loss)


def test_padding_changes_nothing(folder):
    """No state flows back from what stands on the right, in attention, convolutions, state spaces or experts."""
    model = load_model(folder, "full")
    short, long = Encoded([5, 9, 20], [20, 20, 1]), Encoded([6, 9, 21] + [3] * 40, [21, 21, 1])
    padded, _ = loss_of(model, [short, long])
    alone = [loss_of(model, [example])[0] for example in (short, long)]
    torch.testing.assert_close(padded, sum(alone) / 2)
