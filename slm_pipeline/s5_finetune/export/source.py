"""What is exported: one version of a group's adapter, and all that its card says of it."""

import json
from dataclasses import dataclass
from pathlib import Path

from slm_pipeline.inference import prompt_form
from slm_pipeline.lake import Artefact, Lake
from slm_pipeline.records import Json
from slm_pipeline.resources import tracking
from slm_pipeline.s4_select.base_models import BaseFiles, ensure_base
from slm_pipeline.s4_select.catalogue import CatalogueEntry, entry
from slm_pipeline.s4_select.licences import Verdict, teachers_of, training_allowed
from slm_pipeline.s5_finetune.attempt import ADAPTER, LicenceRefused
from slm_pipeline.s5_finetune.configuration import COLUMN
from slm_pipeline.s5_finetune.provenance import data_facts
from slm_pipeline.settings import Settings

EXAMPLES, REPORT = "s3_cluster/task_examples", "s6_refine/eval_report"


@dataclass(frozen=True)
class Source:
    """`adapter` is the folder of its files, `base` and `known` what it was trained on. `scores` are the report's of this very adapter
    (systems by name), None if it was not evaluated. `data` says what it was made of, `conversations` are its validation prompts."""

    group: str
    version: str
    digest: str
    adapter: Path
    training: Json
    base: BaseFiles
    known: CatalogueEntry
    tasks: Json
    data: Json
    licence: Verdict
    scores: Json | None
    conversations: list[list[Json]]

    @property
    def lora(self) -> Json | None:
        """PEFT's configuration of the adapter; None for a full fine-tuning."""
        file = self.adapter / "adapter_config.json"
        return json.loads(file.read_text()) if file.exists() else None

    @property
    def plain_lora(self) -> bool:
        """Whether it is sums of low-rank matrices and nothing else, which servers can load beside a base; DoRA is more, and an activated
        LoRA is not everywhere."""
        return self.lora is not None and not self.lora.get("use_dora") and not self.activated

    @property
    def activated(self) -> bool:
        """Whether it acts on answers only."""
        return bool(self.lora and self.lora.get("alora_invocation_tokens"))

    @property
    def base_id(self) -> str:
        """Where others find the base: its place on the model hub, if it has one."""
        return self.known.hub_id or self.base.name


def read_source(group: str, settings: Settings, version: str | None = None) -> Source:
    """That version of the group's adapter; without one, its champion.

    Raises LookupError for what is not there, LicenceRefused where the base's licence or a teacher's terms forbid it.
    """
    lake = Lake(settings.lake)
    if group not in (trained := lake.partitions(ADAPTER)):
        raise LookupError(f"no group {group!r} with an adapter; there are {', '.join(trained) or 'none yet: `slm run` trains them'}")
    number, digest = _registered(group, settings, version)
    adapter, examples = lake.version(ADAPTER, group, digest), lake.read(EXAMPLES, group)
    if adapter is None or examples is None:
        raise LookupError(
            f"version {number} of {group} is not in the lake any more: {'its files are' if examples else 'its group is'} gone"
        )
    training = adapter.json("training")
    base, known = ensure_base(training["base"], settings), entry(training["base"], settings)
    table = examples.table("examples")
    used = table[table["split"].isin(["train", "validation"])]
    licence = training_allowed(known, training.get("licence", {}).get("teachers") or teachers_of(used, lake), settings)
    if not licence.allowed:
        raise LicenceRefused("\n".join(licence.reasons))
    asked = table.loc[table["split"] == "validation", COLUMN[prompt_form(training)]]
    return Source(
        group=group,
        version=number,
        digest=digest,
        adapter=adapter.local(),
        training=training,
        base=base,
        known=known,
        tasks=examples.json("tasks"),
        data=training.get("data") or data_facts(examples),
        licence=licence,
        scores=_scores(lake.read(REPORT, group), digest),
        conversations=[json.loads(messages) for messages in asked],
    )


def _registered(group: str, settings: Settings, version: str | None) -> tuple[str, str]:
    """Version number and lake digest of what is exported; raises LookupError."""
    found = {str(v.version): v for v in tracking.client(settings).search_model_versions(f"name = '{group}'")}
    numbers = ", ".join(sorted(found, key=int)) or "none"
    if version is None:
        champion = tracking.champion(settings, group)
        if champion is None:
            raise LookupError(f"{group} has no champion: no adapter has passed the gate. Name one by --version; there are {numbers}")
        version = champion.version
    if version not in found:
        raise LookupError(f"{group} has no version {version}; there are {numbers}")
    tags = found[version].tags
    if tags.get("slm.trained_on_erased"):
        raise LookupError(f"version {version} of {group} was trained on calls that have been erased since: train it again by `slm run`")
    return version, tags["slm.lake_digest"]


def _scores(written: Artefact | None, digest: str) -> Json | None:
    """The systems of the report, this adapter among them as `adapter`; None if it judges another one."""
    report = written.json("report") if written else None
    if report is None:
        return None
    systems = report["systems"]
    if report["adapter"]["digest"] == digest:
        return systems
    if (report["champion"] or {}).get("digest") == digest:
        return {name: system for name, system in systems.items() if name != "champion"} | {"adapter": systems["champion"]}
    return None
