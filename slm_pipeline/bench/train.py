"""`slm bench train`: the answer-position trainer against TRL's SFTTrainer, on the same model, data, batches and LoRA weights."""

import multiprocessing
import sys
from collections.abc import Iterable
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from time import perf_counter

from slm_pipeline.bench.agent import task_of
from slm_pipeline.records import Json
from slm_pipeline.settings import Settings

SIZES = {"train": 192, "validation": 32, "test": 1000}  # examples at most; of a smaller set, what there is
METHODS = {"ours": "alora", "lora": "lora", "trl": "lora"}
"""How each side trains: ours by activated LoRA, and by LoRA as is the default; TRL by LoRA in every layer, as its users do."""
COUNTED, COUNTED_VALIDATION = 18, 3  # examples of which the operations are counted, in the proportion of all
PEAK = 4096  # width of the matrices whose product is the machine's peak


def measure(settings: Settings, data: Path | None) -> Json:
    """DESIGN's keys of `train`; needs the extra `bench`.

    Both sides have LoRA of one rank on the same modules, see the same batches in the same order, use AdamW with the same rates, the same
    dtype, no dropout, no gradient checkpointing, validate after each epoch on the same examples, and each runs in a process of its own.
    TRL adapts every layer, as its users do; ours the upper layers that the settings name, by activated LoRA; `lora_speedup` is that of our
    default, LoRA in the same layers. `data` is a file of calls; without it the sample. `loss` is the validation loss (nats per answer
    token) after training; `score` the share of `score_n` other answers that greedy decoding gives word for word, none of a task that is
    trained on; its interval resamples sessions. Padding is not counted as tokens. `flops_share`: operations of matrix products and
    attention in a second, as a share of `peak_gflops`, which one large product reaches. Prints how far it is to standard error.
    """
    from slm_pipeline.intervals import paired_interval

    runs: dict[str, list[Json]] = {side: [] for side in METHODS}
    # ours before and after the others, so that a change of the machine's speed shows
    for side in ("ours", "trl", "lora", "ours"):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            runs[side].append(pool.apply(_run, (side, settings, data, side != "lora" and not runs[side])))
        print(f"{side}: {runs[side][-1]['seconds']:.0f} s", file=sys.stderr, flush=True)
    ours, _, trl = runs.values()
    speed, lora_speed, baseline = (sum(r["tokens"] for r in of) / sum(r["seconds"] for r in of) for of in runs.values())
    right, baseline_right = ours[0]["right"], trl[0]["right"]
    paired = paired_interval(right, baseline_right, ours[0]["sessions"], settings.bootstrap_samples, settings.seed)
    peak = max(r["peak_gflops"] for of in runs.values() for r in of)
    return {
        "n": ours[0]["n"],
        "seed": settings.seed,
        "tokens_per_s": round(speed, 1),
        "baseline_tokens_per_s": round(baseline, 1),
        "speedup": round(speed / baseline, 3),
        "speedup_low": round(min(t["seconds"] for t in trl) / max(o["seconds"] for o in ours), 3),
        "lora_speedup": round(lora_speed / baseline, 3),
        "loss": ours[0]["loss"],
        "baseline_loss": trl[0]["loss"],
        "score": fmean(right),
        "baseline_score": fmean(baseline_right),
        "score_diff": paired.mean,
        "score_diff_low": paired.low,
        "score_diff_high": paired.high,
        "score_n": len(right),
        "peak_rss_mb": max(r["peak_rss_mb"] for r in ours),
        "baseline_peak_rss_mb": max(r["peak_rss_mb"] for r in trl),
        "peak_gflops": peak,
        "flops_share": round(speed * ours[0]["gflop_per_token"] / peak, 3),
        "baseline_flops_share": round(baseline * trl[0]["gflop_per_token"] / peak, 3),
        "epochs": settings.epochs,
        "dtype": ours[0]["dtype"],
    }


def _run(side: str, settings: Settings, data: Path | None, scored: bool) -> Json:
    """One training; `scored`: and what came of it."""
    import resource
    from tempfile import TemporaryDirectory

    from slm_pipeline.s4_select.base_models import ensure_base
    from slm_pipeline.s5_finetune.configuration import default_configuration
    from slm_pipeline.s5_finetune.methods import load_model, save_trained, training_dtype, with_trainable

    base = ensure_base(settings.base_models[0], settings)
    sets = _encoded(settings, data, base.folder)
    training, validation, test = ([example for _, example in sets[split]] for split in SIZES)
    config = replace(default_configuration(settings), patience=settings.epochs)
    config = replace(config, method=METHODS[side], upper_layers=1.0 if side == "trl" else config.upper_layers)
    train = _train_ours if side in ("ours", "lora") else _train_trl
    gflop = _gflop_per_token(train, base.folder, config, training[:COUNTED], validation[:COUNTED_VALIDATION]) if scored else None
    model = with_trainable(load_model(base.folder), config)
    seconds = train(model, training, validation, config, base.folder)
    peak_rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    judged = {}
    if scored:
        with TemporaryDirectory() as folder:
            save_trained(model, base.name, Path(folder))
            judged = _judge(Path(folder), base.folder, validation, test) | {"sessions": [session for session, _ in sets["test"]]}
    return judged | {
        "n": len(training),
        "tokens": sum(map(len, training)) * settings.epochs,
        "seconds": seconds,
        "peak_rss_mb": round(peak_rss),
        "gflop_per_token": gflop,
        "peak_gflops": _peak_gflops(),
        "dtype": str(training_dtype()).removeprefix("torch."),
    }


def _gflop_per_token(train, folder: Path, config, examples, validation) -> float:
    """Operations, in 10^9, that a training of some examples takes for each token of each epoch."""
    from torch.utils.flop_counter import FlopCounterMode

    from slm_pipeline.s5_finetune.methods import load_model, with_trainable

    model = with_trainable(load_model(folder), config)
    with FlopCounterMode(display=False) as counter:
        train(model, examples, validation, config, folder)
    return counter.get_total_flops() / sum(map(len, examples)) / config.epochs / 1e9


def _peak_gflops() -> float:
    """What the machine reaches in one large product of matrices in the training's dtype, in 10^9 operations a second."""
    import torch

    from slm_pipeline.s5_finetune.methods import training_dtype

    one, other = (torch.rand(PEAK, PEAK).to(training_dtype()) for _ in range(2))
    seconds = []
    for _ in range(5):
        start = perf_counter()
        one @ other
        seconds.append(perf_counter() - start)
    return round(2 * PEAK**3 / min(seconds) / 1e9, 1)


def _judge(adapter: Path, base: Path, validation, test) -> Json:
    """`loss` on validation examples, nats per answer token; `right`: for each test example whether every token of its answer is the
    likeliest one: then, and only then, greedy decoding gives that answer. The adapter is run as peft runs it, whoever trained it."""
    from peft import PeftModel

    from slm_pipeline.s5_finetune.methods import load_model

    model = PeftModel.from_pretrained(load_model(base), adapter).eval()
    losses, tokens = zip(*((_answer(model, example)[0], len(example.answer)) for example in validation), strict=True)
    return {"loss": sum(losses) / sum(tokens), "right": [_answer(model, example)[1] for example in test]}


def _answer(model, example) -> tuple[float, bool]:
    """Cross-entropy of an example's answer, in nats, and whether greedy decoding gives it."""
    import torch

    with torch.no_grad():
        ids = torch.tensor([example.prompt + example.answer])
        said = model(input_ids=ids, logits_to_keep=len(example.answer) + 1).logits[0, :-1].float()
    wanted = torch.tensor(example.answer)
    return torch.nn.functional.cross_entropy(said, wanted, reduction="sum").item(), bool((said.argmax(-1) == wanted).all())


def parted(examples: Iterable[tuple[str, object]]) -> dict[str, list[tuple[str, object]]]:
    """Pairs of session and example in the sets of SIZES, which fill one after the other; all trials of a task are in one set."""
    sets: dict[str, list[tuple[str, object]]] = {name: [] for name in SIZES}
    place: dict[str, str] = {}
    for session, example in examples:
        if (task := task_of(session)) not in place:
            if not (unfilled := [name for name in SIZES if len(sets[name]) < SIZES[name]]):
                break
            place[task] = unfilled[0]
        if len(sets[place[task]]) < SIZES[place[task]]:
            sets[place[task]].append((session, example))
    return sets


def _encoded(settings: Settings, data: Path | None, folder: Path):
    """Examples of equal make for both sides: prompt and answer of single calls, as S3 factors them, in sets, each with its session."""
    return parted(_examples(settings, data, folder))


def _examples(settings: Settings, data: Path | None, folder: Path):
    from slm_pipeline.answers import render_answer
    from slm_pipeline.prompting import fit_messages, render_prompt, special_tokens, token_ids
    from slm_pipeline.records import target_of
    from slm_pipeline.s1_collect.importers import BadLine, read_calls
    from slm_pipeline.s1_collect.sample import sample_traffic
    from slm_pipeline.s3_cluster.templates import full_messages
    from slm_pipeline.s5_finetune.dataset import Encoded

    end = special_tokens(folder)["eos_token"]
    for call in read_calls(data or sample_traffic(settings)):
        if isinstance(call, BadLine) or (target := target_of(call)) is None:
            continue
        tools = call.request.get("tools") or []
        line = {"role": "system", "content": "Tools: " + ", ".join(t["function"]["name"] for t in tools)}
        messages = [line, *(m for m in full_messages(call.request) if m["role"] != "system")]
        answer = token_ids(render_answer(target.answer, tools) + end, folder)
        if len(answer) <= settings.max_answer_tokens:
            fitted, _ = fit_messages(messages, folder, settings.max_prompt_tokens)
            yield call.session_id, Encoded(token_ids(render_prompt(fitted, folder), folder), answer)


def _train_ours(model, training, validation, config, folder: Path) -> float:
    from slm_pipeline.s5_finetune.fit import PAD
    from slm_pipeline.s5_finetune.trainer import train

    start = perf_counter()
    train(model, training, validation, config, PAD)
    return perf_counter() - start


def _train_trl(model, training, validation, config, folder: Path) -> float:
    from tempfile import TemporaryDirectory

    import torch
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    from slm_pipeline.s5_finetune.trainer import batches_by_length, warmup_and_decay

    batches = [b for epoch in range(config.epochs) for b in batches_by_length(training, config.batch_size, config.seed, epoch)]
    rows = _rows([example for batch in batches for example in batch])

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
                eval_strategy="steps",
                eval_steps=len(batches) // config.epochs,
                per_device_eval_batch_size=config.batch_size,
                logging_strategy="no",
                disable_tqdm=True,
                dataset_kwargs={"skip_prepare_dataset": True},
                seed=config.seed,
            ),
            train_dataset=Dataset.from_list(rows),
            eval_dataset=Dataset.from_list(_rows(validation)),
            processing_class=AutoTokenizer.from_pretrained(folder),
            optimizers=(optimizer, schedule),
        )
        start = perf_counter()
        with redirect_stdout(sys.stderr):  # it prints its own figures where ours go
            trainer.train()
        return perf_counter() - start


def _rows(examples) -> list[Json]:
    """Examples as TRL takes them."""
    return [
        {"input_ids": e.prompt + e.answer, "labels": [-100] * len(e.prompt) + e.answer, "attention_mask": [1] * len(e)} for e in examples
    ]
