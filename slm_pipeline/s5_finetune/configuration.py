"""How an adapter is trained: what `slm tune` has kept for its group, else what the settings say."""

from dataclasses import asdict, dataclass
from typing import Literal

from slm_pipeline.lake import Lake
from slm_pipeline.settings import Settings

CONFIGURATION = "s5_finetune/configuration"

Method = Literal["lora", "alora", "rslora", "dora", "qlora", "full"]
Form = Literal["factored", "full"]
COLUMN = {"full": "full_messages", "factored": "messages"}
"""The column of `task_examples` that holds the messages of each form of prompt."""


@dataclass(frozen=True)
class Configuration:
    """method: LoRA (Hu et al. 2021), activated LoRA (Greenewald et al. 2025), rsLoRA (Kalajdzievski 2023), DoRA (Liu et al. 2024), QLoRA
    (Dettmers et al. 2023), or all weights.
    upper_layers: share of layers, from the top, that are trained. patience: epochs without a lower validation loss before
    training stops. prompt: what the adapter is trained on and asked with, the prompt with the template factored out or as it was
    sent."""

    method: Method
    rank: int
    upper_layers: float
    learning_rate: float
    epochs: int
    batch_size: int
    patience: int
    seed: int
    prompt: Form = "factored"

    def trained_layers(self, layers: int) -> list[int]:
        """The layers that are trained: the upper share of `layers`, at least one."""
        return list(range(layers - max(1, round(layers * self.upper_layers)), layers))

    def json(self) -> dict:
        return asdict(self)


def default_configuration(settings: Settings) -> Configuration:
    """What the settings say."""
    return Configuration(
        method=settings.training_method,
        rank=settings.lora_rank,
        upper_layers=settings.lora_upper_layers,
        learning_rate=settings.learning_rate,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        patience=settings.patience,
        seed=settings.seed,
    )


def configuration_of(group: str, settings: Settings) -> Configuration:
    """What was kept for the group, else the default."""
    kept = Lake(settings.lake).read(CONFIGURATION, group)
    return Configuration(**kept.json("configuration")) if kept else default_configuration(settings)
