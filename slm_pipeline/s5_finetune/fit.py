"""One training from a dataset to an adapter's files: what an attempt, a probe of S4 and a trial of `slm tune` have in common."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from slm_pipeline.records import Json
from slm_pipeline.s4_select.base_models import BaseFiles
from slm_pipeline.s4_select.catalogue import entry
from slm_pipeline.s5_finetune.configuration import Configuration
from slm_pipeline.s5_finetune.dataset import Dataset
from slm_pipeline.settings import Settings

if TYPE_CHECKING:
    from slm_pipeline.s5_finetune.trainer import Progress


def fit(
    base: BaseFiles,
    dataset: Dataset,
    configuration: Configuration,
    settings: Settings,
    folder: Path,
    checkpoint: Path | None = None,
    on_step: Callable[[int, int, float], None] = lambda step, steps, loss: None,
    on_epoch: Callable[["Progress"], None] = lambda progress: None,
) -> Json:
    """Train an adapter and write its files (PEFT's, and adapter.gguf) into `folder`; returns loss curves, best epoch and best
    validation loss (nats per answer token).

    `on_step(step, steps, loss)` is called after every step, `on_epoch(progress)` after every epoch was validated; what they raise
    ends the training. With `checkpoint`, a training that was killed is gone on with.
    """
    from slm_pipeline.s5_finetune.export import adapter_to_gguf
    from slm_pipeline.s5_finetune.trainer import load_model, save_adapter, train, with_lora

    model = with_lora(load_model(base.folder), configuration, entry(base.name, settings).lora_exclude)
    progress = train(
        model,
        dataset.training,
        dataset.validation,
        configuration,
        model.config.pad_token_id,
        checkpoint,
        settings.checkpoint_steps,
        lambda done, steps: on_step(done.step, steps, done.curves[-1]["train_loss"]),
        on_epoch,
    )
    save_adapter(model, base.name, folder)
    adapter_to_gguf(folder, base.folder, folder / "adapter.gguf")
    return {key: value for key, value in asdict(progress).items() if key in ("curves", "best_epoch", "best_loss")}
