"""One training from a dataset to an adapter's files: what an attempt, a probe of S4 and a trial of `slm tune` have in common."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from slm_pipeline.records import Json
from slm_pipeline.s4_select.base_models import BaseFiles
from slm_pipeline.s4_select.catalogue import entry
from slm_pipeline.s5_finetune.configuration import Configuration
from slm_pipeline.s5_finetune.dataset import Dataset
from slm_pipeline.s5_finetune.teacher import teacher_folder
from slm_pipeline.settings import Settings

if TYPE_CHECKING:
    from slm_pipeline.s5_finetune.distributed import Together
    from slm_pipeline.s5_finetune.trainer import Progress

ADAPTER_GGUF, MERGED_GGUF = "adapter.gguf", "model.gguf"
PAD = 0  # any token: it stands behind all that is looked at, and not every base has one for it


def fit(
    base: BaseFiles,
    dataset: Dataset,
    configuration: Configuration,
    settings: Settings,
    folder: Path,
    checkpoint: Path | None = None,
    on_step: Callable[[int, int, float], None] = lambda step, steps, loss: None,
    on_epoch: Callable[["Progress"], None] = lambda progress: None,
    together: "Together | None" = None,
) -> Json:
    """Train an adapter and write its files into `folder`; returns loss curves, best epoch, best validation loss (nats per
    answer token), and what preference tuning did if failures were enough for it, else None.

    The files: what `methods.save_trained` writes, and beside it what llama.cpp serves (`served`): adapter.gguf; or model.gguf, the
    merged model at `settings.quantisation`, of what cannot be a GGUF adapter (DoRA, full fine-tuning). `on_step(step, steps, loss)` is
    called after every step, `on_epoch(progress)` after every epoch was validated; what they raise ends the training. With
    `checkpoint`, a training that was killed is gone on with; with `together`, several processes share the work. Raises
    MethodUnavailable where the method cannot run.
    """
    from slm_pipeline.s5_finetune.methods import save_trained

    model, progress, preference = trained(base, dataset, configuration, settings, checkpoint, on_step, on_epoch, together)
    save_trained(model, base.name, folder)
    _write_gguf(base, folder, settings)
    curves = {key: value for key, value in asdict(progress).items() if key in ("curves", "best_epoch", "best_loss")}
    return curves | {"preference": preference}


def trained(
    base: BaseFiles,
    dataset: Dataset,
    configuration: Configuration,
    settings: Settings,
    checkpoint: Path | None = None,
    on_step: Callable[[int, int, float], None] = lambda step, steps, loss: None,
    on_epoch: Callable[["Progress"], None] = lambda progress: None,
    together: "Together | None" = None,
):
    """The base with what was trained, in memory, the training's Progress, and what preference tuning did, if it followed
    (`preference.prefer`): `fit` without its files."""
    from slm_pipeline.s5_finetune.methods import load_model, with_trainable
    from slm_pipeline.s5_finetune.trainer import train

    objective = _distillation(base, dataset, configuration, settings)
    model = load_model(base.folder, configuration.method)
    model = with_trainable(model, configuration, entry(base.name, settings).lora_exclude)
    progress = train(
        model,
        dataset.training,
        dataset.judged_by,
        configuration,
        PAD,
        checkpoint,
        settings.checkpoint_steps,
        lambda done, steps: on_step(done.step, steps, done.curves[-1]["train_loss"]),
        on_epoch,
        settings.gradient_checkpointing,
        together,
        **objective,
    )
    if len(dataset.preferences) < settings.min_preference_pairs:
        return model, progress, None
    from slm_pipeline.s5_finetune.preference import prefer

    return model, progress, prefer(model, dataset, configuration, settings.preference_beta, PAD, together)


def _distillation(base: BaseFiles, dataset: Dataset, configuration: Configuration, settings: Settings) -> Json:
    """What `train` shall make small where a teacher's logits are learned; nothing else where there is none."""
    if (teacher := teacher_folder(settings, base.folder)) is None:
        return {}
    from transformers import AutoConfig

    from slm_pipeline.s5_finetune.distill import distillation

    words = AutoConfig.from_pretrained(base.folder).get_text_config().vocab_size
    alpha, temperature = settings.distillation_alpha, settings.distillation_temperature
    return {"objective": distillation(teacher, dataset.training, configuration.batch_size, PAD, words, alpha, temperature)}


def served(base: BaseFiles, adapter: Path) -> tuple[Path, Path | None]:
    """What llama.cpp loads for the adapter whose files lie in folder `adapter`: a model, and an adapter if that is a file of its own."""
    merged = adapter / MERGED_GGUF
    return (merged, None) if merged.exists() else (base.gguf, adapter / ADAPTER_GGUF)


def _write_gguf(base: BaseFiles, folder: Path, settings: Settings) -> None:
    from slm_pipeline.s5_finetune.export import NotExportable, adapter_to_gguf, model_to_gguf
    from slm_pipeline.s5_finetune.export.merge import merge

    try:
        adapter_to_gguf(folder, base.folder, folder / ADAPTER_GGUF)
    except NotExportable:
        with TemporaryDirectory() as merged:
            merge(folder, base.folder, Path(merged))
            model_to_gguf(Path(merged), base.gguf, folder / MERGED_GGUF, settings.quantisation)
