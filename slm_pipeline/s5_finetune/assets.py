"""S5: one adapter per group, which of its tasks it is good enough for, and what more examples would bring."""

import dagster as dg

from slm_pipeline.lake import Lake
from slm_pipeline.partitions import groups
from slm_pipeline.resources import tracking
from slm_pipeline.s5_finetune.panels import adapter_metadata, curve_metadata, verdicts_metadata
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
    from slm_pipeline.s5_finetune.attempt import ATTEMPT, NothingToLearn, fine_tune

    settings, group = get_settings(), context.partition_key
    if Lake(settings.lake).read("s3_cluster/task_examples", group) is None:
        return dg.MaterializeResult(metadata={"verdict": "no examples: the group is not in the newest clustering"})

    def show(step: int, steps: int, loss: float) -> None:
        if step % 10 == 0 or step == steps:
            context.log.info(f"step {step} of at most {steps}, loss {loss:.3f}")

    try:
        trained, fresh = fine_tune(group, settings, context.run_id, show)
    except NothingToLearn as error:
        context.log.warning(str(error))
        return dg.MaterializeResult(metadata={"verdict": str(error)})
    attempt = Lake(settings.lake).read(ATTEMPT, group).json("attempt")
    champion = tracking.champion(settings, group)
    return dg.MaterializeResult(
        metadata=adapter_metadata(trained.json("training"), attempt, fresh, champion, settings),
        data_version=dg.DataVersion(trained.digest),
    )


@dg.asset(
    group_name="s5_finetune",
    kinds={"llamacpp", "mlflow"},
    owners=["team:slm_pipeline"],
    partitions_def=groups,
    deps=["adapter", "task_examples"],
    pool="training",
)
def task_verdicts(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """Whether each task of a group gets an adapter of its own, shares its group's, or stays with the LLM, by its validation calls.

    The group's adapter is asked once; only tasks with enough training calls for a group of their own are fine-tuned alone, briefly, and
    compared on the same calls. `slm tasks` shows the verdicts; a person acts on them (`slm tasks exclude`). Nothing is asked again while
    adapter, examples and settings are the same.
    """
    from slm_pipeline.s5_finetune.small_tasks import judge_tasks

    settings = get_settings()
    written, fresh = judge_tasks(context.partition_key, settings, context.log.info)
    if written is None:
        return dg.MaterializeResult(metadata={"note": "no adapter"})
    metadata = verdicts_metadata(written.json("verdicts"), fresh, settings)
    return dg.MaterializeResult(metadata=metadata, data_version=dg.DataVersion(written.digest))


@dg.asset(
    group_name="s5_finetune",
    kinds={"pytorch", "llamacpp", "mlflow"},
    owners=["team:slm_pipeline"],
    partitions_def=groups,
    deps=["adapter", "task_examples"],
    pool="training",
)
def learning_curve(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """Score and loss on validation calls against the number of training examples, with the power law through them: how many more examples
    would reach what the gate asks for, or why none would.

    Fine-tunes on an eighth, a quarter and half of the training sessions with the group's configuration; all of them are the adapter itself.
    It costs about as much as training the adapter, so no job runs it: materialise it here when the gate refuses.
    """
    from slm_pipeline.s5_finetune.learning_curve import draw_curve

    written, fresh = draw_curve(context.partition_key, get_settings(), context.log.info)
    if written is None:
        return dg.MaterializeResult(metadata={"note": "no adapter"})
    return dg.MaterializeResult(metadata=curve_metadata(written.json("curve"), fresh), data_version=dg.DataVersion(written.digest))
