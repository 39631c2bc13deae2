"""S5: one LoRA adapter per group."""

import dagster as dg

from slm_pipeline.lake import Lake
from slm_pipeline.partitions import groups
from slm_pipeline.resources import tracking
from slm_pipeline.s5_finetune.panels import adapter_metadata
from slm_pipeline.settings import get_settings


@dg.asset(
    group_name="s5_finetune",
    kinds={"pytorch", "huggingface", "mlflow"},
    owners=["team:slm_pipeline"],
    partitions_def=groups,
    deps=["task_examples", "selected_base"],
    pool="training",
)
def adapter(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """The LoRA adapter that answers a group's calls, fine-tuned on the teacher's answers.

    Loss at answer positions only, batches by length, early stopping on the validation split, seeded; goes on where a killed
    attempt stopped. Every attempt is an MLflow run and a registry version with the alias `challenger`; it becomes champion only
    through the gate of `eval_report`. Not trained again while examples, base and settings are the same. Started by hand, by
    `retrain_weekly`, or by the sensor `retrain_on_fallbacks`, whose failures are then among the examples.
    """
    from slm_pipeline.s5_finetune.attempt import ATTEMPT, fine_tune

    settings, group = get_settings(), context.partition_key
    if Lake(settings.lake).read("s3_cluster/task_examples", group) is None:
        return dg.MaterializeResult(metadata={"verdict": "no examples: the group is not in the newest clustering"})

    def show(step: int, steps: int, loss: float) -> None:
        if step % 10 == 0 or step == steps:
            context.log.info(f"step {step} of at most {steps}, loss {loss:.3f}")

    trained, fresh = fine_tune(group, settings, context.run_id, show)
    attempt = Lake(settings.lake).read(ATTEMPT, group).json("attempt")
    champion = tracking.champion(settings, group)
    return dg.MaterializeResult(
        metadata=adapter_metadata(trained.json("training"), attempt, fresh, champion, settings),
        data_version=dg.DataVersion(trained.digest),
    )
