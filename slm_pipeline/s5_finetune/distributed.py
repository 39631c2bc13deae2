"""Trains a group's adapter on several GPUs or processors at once:

    accelerate launch --config_file slm_pipeline/s5_finetune/accelerate/multi_gpu.yaml -m slm_pipeline.s5_finetune.distributed GROUP

Each process computes its share of every batch, and gradients are averaged by answer tokens, so they are those of the whole batch: the
adapter is that of one process, up to rounding. The first process does all else (lake, MLflow, checkpoints), the others only compute.
"""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from slm_pipeline.lake import Lake
from slm_pipeline.records import Json
from slm_pipeline.s4_select.base_models import BaseFiles
from slm_pipeline.s5_finetune.attempt import fine_tune
from slm_pipeline.s5_finetune.configuration import Configuration
from slm_pipeline.s5_finetune.dataset import Dataset
from slm_pipeline.s5_finetune.fit import fit, trained
from slm_pipeline.s5_finetune.passive_torch import torch
from slm_pipeline.settings import Settings, get_settings

EXAMPLES = "s3_cluster/task_examples"

LossOf = Callable[[list], tuple[torch.Tensor, int]]
"""The loss of a batch of examples (or of pairs of these)."""


class _Root(torch.nn.Module):
    """What is handed to accelerate in place of the model, whose own forward is not what training calls."""

    def __init__(self, model: torch.nn.Module):
        super().__init__()
        self.model = model

    def forward(self, loss_of: LossOf, batch: list) -> tuple[torch.Tensor, int]:
        return loss_of(batch)


class Together:
    """One process among several that train the same weights; all take the same steps."""

    def __init__(self, accelerator: Accelerator):
        self.accelerator = accelerator
        self.root: torch.nn.Module | None = None

    def from_main(self, value: Any) -> Any:
        """What the first process gives; the others' `value` counts for nothing."""
        return broadcast_object_list([value])[0]

    def shared(self, model: torch.nn.Module, *losses: LossOf) -> list[LossOf]:
        """Losses of whole batches, of which each process computes its share: their value is the whole batch's, their gradients
        become that when they are averaged over the processes. Each of `losses` gives a mean, and over how many it was taken."""
        self.root = self.root or self.accelerator.prepare(_Root(model))
        return [partial(self._loss, loss_of) for loss_of in losses]

    def _loss(self, loss_of: LossOf, batch: list) -> tuple[torch.Tensor, int]:
        processes = self.accelerator.num_processes
        mine = batch[self.accelerator.process_index :: processes]
        mean, tokens = self.root(loss_of, mine or batch[:1])
        tokens = tokens if mine else 0  # all processes take part in every step, also those that have nothing to do
        counted = torch.tensor([mean.item() * tokens, tokens], dtype=torch.float64, device=mean.device)
        loss, of_all = self.accelerator.reduce(counted, "sum").tolist()
        part = mean * (tokens * processes / of_all)
        return part + (loss / of_all - part.detach()), int(of_all)


def main(group: str) -> None:
    """Train the group's adapter in every process that was launched; prints what came of it."""
    settings = get_settings()
    groups = Lake(settings.lake).partitions(EXAMPLES)
    if group not in groups:
        sys.exit(f"no group {group!r} with examples; there are {', '.join(groups) or 'none yet'}")
    together = Together(Accelerator(cpu=not torch.cuda.is_available()))
    if together.accelerator.is_main_process:
        _lead(group, settings, together)
    elif job := together.from_main(None):
        trained(*job, settings, together=together)
    together.accelerator.end_training()


def _lead(group: str, settings: Settings, together: Together) -> None:
    def fit_together(base: BaseFiles, dataset: Dataset, configuration: Configuration, *rest, **named) -> Json:
        together.from_main((base, dataset, configuration))
        return fit(base, dataset, configuration, *rest, **named, together=together)

    def show(step: int, steps: int, loss: float) -> None:
        if step % 10 == 0 or step == steps:
            print(f"step {step} of at most {steps}, loss {loss:.3f}", flush=True)

    artefact, fresh = fine_tune(group, settings, "", show, fit_together)
    if not fresh:
        together.from_main(None)
    print(f"{group}: {'trained' if fresh else 'nothing has changed; kept'} {artefact.digest}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
