"""`slm bench train`: the answer-position trainer against TRL's SFTTrainer, on the same model, data, batches and LoRA weights."""

import multiprocessing
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from time import perf_counter

from slm_pipeline.records import Json
from slm_pipeline.settings import Settings

EXAMPLES, VALIDATION = 64, 32


def measure(settings: Settings, data: Path | None) -> Json:
    """DESIGN's keys of `train`; needs the extra `bench`.

    Both sides start from the same LoRA weights, see the same batches in the same order, use AdamW with the same rates, the same
    dtype, no dropout, no gradient checkpointing, and each runs in a process of its own. `data` is a file of calls; without it
    the sample. `loss` is the validation loss (nats per answer token) after training; `score` the share of validation answers
    that greedy decoding gives word for word. Padding is not counted as tokens. Prints how far it is to standard error.
    """
    from slm_pipeline.intervals import paired_interval

    sides: dict[str, list[Json]] = {"ours": [], "trl": []}
    # in turns, so that a change of the machine's speed hits both: A B B A
    for side in ("ours", "trl", "trl", "ours"):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            sides[side].append(pool.apply(_run, (side, settings, data)))
        print(f"{side}: {sides[side][-1]['seconds']:.0f} s", file=sys.stderr, flush=True)
    ours, trl = sides["ours"], sides["trl"]
    speed, baseline = (sum(r["tokens"] for r in runs) / sum(r["seconds"] for r in runs) for runs in (ours, trl))
    right, baseline_right = ours[0]["right"], trl[0]["right"]
    sessions = [str(i) for i in range(len(right))]
    return {
        "n": ours[0]["n"],
        "seed": settings.seed,
        "tokens_per_s": round(speed, 1),
        "baseline_tokens_per_s": round(baseline, 1),
        "speedup": round(speed / baseline, 3),
        "speedup_low": round(min(t["seconds"] for t in trl) / max(o["seconds"] for o in ours), 3),
        "loss": ours[0]["loss"],
        "baseline_loss": trl[0]["loss"],
        "loss_difference": abs(ours[0]["loss"] - trl[0]["loss"]) / trl[0]["loss"],
        "score": fmean(right),
        "baseline_score": fmean(baseline_right),
        "score_diff_low": paired_interval(right, baseline_right, sessions, settings.bootstrap_samples, settings.seed).low,
        "score_n": len(right),
        "peak_rss_mb": max(r["peak_rss_mb"] for r in ours),
        "baseline_peak_rss_mb": max(r["peak_rss_mb"] for r in trl),
        "epochs": settings.epochs,
        "dtype": ours[0]["dtype"],
    }


def _run(side: str, settings: Settings, data: Path | None) -> Json:
    import resource

    from slm_pipeline.s4_select.base_models import ensure_base
    from slm_pipeline.s5_finetune.configuration import default_configuration
    from slm_pipeline.s5_finetune.trainer import load_model, training_dtype, with_lora

    base = ensure_base(settings.base_models[0], settings)
    training, validation = _encoded(settings, data, base.folder)
    config = replace(default_configuration(settings), patience=settings.epochs)
    model = with_lora(load_model(base.folder), config)
    pad = model.config.pad_token_id
    seconds = {"ours": _train_ours, "trl": _train_trl}[side](model, training, validation, config, pad, base.folder)
    loss, right = _judge(model, validation, pad)
    return {
        "n": len(training),
        "tokens": sum(map(len, training)) * settings.epochs,
        "seconds": seconds,
        "loss": loss,
        "right": right,
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "dtype": str(training_dtype()).removeprefix("torch."),
    }


def _judge(model, examples, pad: int) -> tuple[float, list[bool]]:
    """Mean loss per answer token, and for each example whether every token of its answer is the likeliest one: then, and only
    then, greedy decoding gives that answer. The model is run whole, whichever side trained it."""
    import torch
    from torch.nn.functional import cross_entropy

    from slm_pipeline.s5_finetune.loss import IGNORED, collate

    model.eval()
    total, tokens, right = 0.0, 0, []
    for example in examples:
        ids, labels = collate([example], pad)
        with torch.no_grad():
            logits, wanted = model(input_ids=ids).logits[0, :-1].float(), labels[0, 1:]
        logits, wanted = logits[wanted != IGNORED], wanted[wanted != IGNORED]
        total, tokens = total + cross_entropy(logits, wanted, reduction="sum").item(), tokens + len(wanted)
        right.append(bool((logits.argmax(-1) == wanted).all()))
    return total / tokens, right


def _encoded(settings: Settings, data: Path | None, folder: Path):
    """Training and validation examples of equal make on both sides: prompt and answer of single calls, as S3 factors them."""
    from slm_pipeline.answers import render_answer
    from slm_pipeline.prompting import fit_messages, render_prompt, special_tokens, token_ids
    from slm_pipeline.records import target_of
    from slm_pipeline.s1_collect.importers import BadLine, read_calls
    from slm_pipeline.s1_collect.sample import sample_traffic
    from slm_pipeline.s3_cluster.templates import full_messages
    from slm_pipeline.s5_finetune.dataset import Encoded

    end, examples = special_tokens(folder)["eos_token"], []
    for call in read_calls(data or sample_traffic(settings)):
        if isinstance(call, BadLine) or (target := target_of(call)) is None:
            continue
        tools = call.request.get("tools") or []
        line = {"role": "system", "content": "Tools: " + ", ".join(t["function"]["name"] for t in tools)}
        messages = [line, *(m for m in full_messages(call.request) if m["role"] != "system")]
        answer = token_ids(render_answer(target.answer, tools) + end, folder)
        if len(answer) <= settings.max_answer_tokens:
            fitted, _ = fit_messages(messages, folder, settings.max_prompt_tokens)
            examples.append(Encoded(token_ids(render_prompt(fitted, folder), folder), answer))
        if len(examples) == EXAMPLES + VALIDATION:
            break
    return examples[:EXAMPLES], examples[EXAMPLES:]


def _train_ours(model, training, validation, config, pad: int, folder: Path) -> float:
    from slm_pipeline.s5_finetune.trainer import train

    start = perf_counter()
    train(model, training, validation[:1], config, pad)
    return perf_counter() - start


def _train_trl(model, training, validation, config, pad: int, folder: Path) -> float:
    from tempfile import TemporaryDirectory

    import torch
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    from slm_pipeline.s5_finetune.trainer import batches_by_length, warmup_and_decay

    batches = [b for epoch in range(config.epochs) for b in batches_by_length(training, config.batch_size, config.seed, epoch)]
    rows = [
        {"input_ids": e.prompt + e.answer, "labels": [-100] * len(e.prompt) + e.answer, "attention_mask": [1] * len(e)}
        for batch in batches
        for e in batch
    ]

    class InOrder(SFTTrainer):
        def _get_train_sampler(self, dataset=None):
            return torch.utils.data.SequentialSampler(dataset if dataset is not None else self.train_dataset)

    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=config.learning_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: warmup_and_decay(step, len(batches)))
    with TemporaryDirectory() as out:
        trainer = InOrder(
            model=model,
            args=SFTConfig(
                output_dir=out,
                num_train_epochs=1,
                per_device_train_batch_size=config.batch_size,
                max_grad_norm=1.0,
                max_length=None,
                bf16=False,
                gradient_checkpointing=False,
                use_cpu=True,
                report_to="none",
                save_strategy="no",
                logging_strategy="no",
                disable_tqdm=True,
                dataset_kwargs={"skip_prepare_dataset": True},
                seed=config.seed,
            ),
            train_dataset=Dataset.from_list(rows),
            processing_class=AutoTokenizer.from_pretrained(folder),
            optimizers=(optimizer, schedule),
        )
        start = perf_counter()
        with redirect_stdout(sys.stderr):  # it prints its own figures where ours go
            trainer.train()
        return perf_counter() - start
