"""Every path, threshold and model name, in one place.

Values come from, in this order: environment variables (`SLM_` + upper-case name), a `slm.toml` beside
`pyproject.toml`, the defaults below. Nothing else in the package reads the environment, keys of upstreams included.
"""

import os
from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

REPOSITORY = Path(__file__).resolve().parent.parent


class Upstream(BaseModel):
    """A server of models that the gateway passes calls on to; several are tried in the order in which they stand."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    base_url: str = Field(description="with the version, as clients write it: https://api.openai.com/v1")
    api: Literal["openai", "anthropic"] = "openai"
    api_key_env: str | None = Field(None, description="environment variable with the key; without one the client's own key is passed on")
    models: tuple[str, ...] = Field(("*",), description="names of models that it serves; * stands for anything")
    rename: str | None = Field(None, description="name of the model that it is asked for instead")
    retries: int = Field(1, ge=0, description="how often a call that failed before its first byte is sent again")
    connect_seconds: float = Field(5, gt=0)
    first_token_seconds: float = Field(60, gt=0, description="until the first byte of a stream")
    total_seconds: float = Field(600, gt=0)
    stream_usage: bool = Field(True, description="whether it may be asked for token counts at the end of a stream (OpenAI form)")

    @property
    def api_key(self) -> str | None:
        """The key, or None if none is set."""
        return os.environ.get(self.api_key_env) if self.api_key_env else None


class SlmServer(BaseModel):
    """A server of SLMs, vLLM or llama-server, that answers for groups instead of the embedded engine."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str = Field(description="with the version: http://127.0.0.1:8000/v1")
    api_key_env: str | None = Field(None, description="environment variable with its key; None: it needs none")
    groups: tuple[str, ...] = Field(("*",), description="groups that it answers for; * stands for anything")
    parallel: int = Field(8, ge=1, description="calls that it is asked side by side")

    @property
    def api_key(self) -> str | None:
        """The key, or None if none is set."""
        return os.environ.get(self.api_key_env) if self.api_key_env else None


UPSTREAMS = (
    Upstream(name="openai", base_url="https://api.openai.com/v1", api_key_env="OPENAI_API_KEY"),
    Upstream(name="anthropic", base_url="https://api.anthropic.com/v1", api="anthropic", api_key_env="ANTHROPIC_API_KEY"),
)


class Leeway(BaseModel):
    """How far two arguments of a tool call may lie apart and still mean the same."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: float = Field(1e-6, ge=0, lt=1, description="relative difference of numbers that are not both whole")
    text: float = Field(0.9, gt=0, le=1, description="similarity of free text of five words or more")


class Settings(BaseSettings):
    """One read-only view of the configuration; make a new one with `get_settings()`."""

    model_config = SettingsConfigDict(env_prefix="SLM_", toml_file=REPOSITORY / "slm.toml", frozen=True, extra="forbid")

    # where state lies
    home: Path = Field(REPOSITORY / "data", description="log, lake, models, MLflow")
    dagster_home: Path = Field(REPOSITORY / ".dagster", description="Dagster's own storage")
    lake_url: str | None = Field(None, description="fsspec URL of the lake; None: <home>/lake")

    # one seed, one key: the same inputs give the same artefacts
    seed: int = 7
    split_key: str = Field("slm_pipeline", description="keys the hash that assigns sessions to splits; fixed for ever")

    # S1
    first_day: date = Field(date(2026, 10, 1), description="first day partition; older calls are booked on arrival day")
    log_url: SecretStr | None = Field(None, description="SQLAlchemy URL of the call log on PostgreSQL; None: SQLite in <home>/log")
    keys: Path = Field(Path.home() / ".config" / "slm_pipeline" / "keys", description="folder of the master keys, one file per log")
    master_key: SecretStr | None = Field(None, description="the master key itself, 32 bytes in base64, instead of a file")
    next_master_key: SecretStr | None = Field(None, description="the key that `slm keys rotate` changes to, if master_key is given")
    retention_days: int | None = Field(None, ge=1, description="age in days from which calls leave the log; None: never")
    max_malformed_share: float = Field(0.01, description="share of a run's calls without messages or answer that a check tolerates")

    # S2
    canary_share: float = Field(0.01, ge=0, lt=1, description="share of training calls of which a copy with an invented secret is added")

    # S2: redaction
    stand_ins: Literal["surrogates", "placeholders"] = Field("surrogates", description="what replaces personal data and secrets")
    names_backend: Literal["own", "presidio", "spacy", "gliner"] = Field("own", description="who finds names; all but own are extras")

    # S3
    cluster_sample: int = Field(20_000, description="calls at most that re-clustering reads, drawn by seed")
    min_task_calls: int = Field(4, description="training-split calls that a recurring prompt needs to be a task")
    own_group_calls: int = Field(150, description="training-split calls from which a task is a group of its own")
    min_group_calls: int = Field(40, description="training-split calls below which a group is not trained")
    min_text_calls: int = Field(30, description="training-split calls of a task that only its wording makes recognisable")
    tail_coverage: float = Field(0.8, description="share of a prompt's calls in recurring parts, from which it is cut into tasks")
    embedding: str = Field("static", description="how texts become vectors: static (wordllama), tfidf, or a sentence-transformers model")
    same_task_overlap: float = Field(0.5, description="overlap of members from which an old and a new task are the same")
    max_group_examples: int = Field(20_000, ge=1, description="examples at most of a group in each split, drawn by seed; failures first")
    near_similarity: float = Field(0.9, gt=0, le=1, description="share of words in common from which long texts are near-duplicates")
    min_form_share: float = Field(0.98, description="share of JSON among a task's answers from which prose is not trained on")
    min_assignment_agreement: float = Field(
        0.95, description="share of sampled calls that are assigned as clustered, below which a check fails"
    )

    # S4 and S5
    base_models: tuple[str, ...] = Field(("SmolLM2-135M-Instruct",), description="catalogue names that may be chosen")
    max_base_params: int = Field(10_000_000_000, description="a base model has fewer parameters than this")
    restricted_licences: bool = Field(False, description="whether bases whose licence is not an open one may be chosen")
    device: str = Field("laptop", description="what models must fit: phone, laptop, gpu, this (measured by `slm device`), or your own")
    device_memory_gb: float | None = Field(None, gt=0, description="replaces the device's memory for a model, in 10^9 bytes")
    device_bandwidth_gb: float | None = Field(None, gt=0, description="replaces the rate at which it reads weights, in 10^9 bytes a second")
    device_gflops: float | None = Field(None, gt=0, description="replaces its rate of matrix products, in 10^9 operations a second")
    quantisation: Literal["f16", "q8_0", "q4_k_m"] = Field("q8_0", description="how a base's weights are kept where it serves")
    max_latency_seconds: float = Field(10, gt=0, description="a base that takes longer at the 95th percentile, for one user, is refused")
    teacher_terms_accepted: tuple[str, ...] = Field((), description="teachers (names in licences.yaml) whose terms an operator has checked")
    max_prompt_tokens: int = Field(768, description="longer prompts keep their last tokens")
    base_prompt_tokens: int = Field(3072, description="room for the untuned base's prompt: schemas and examples")
    max_answer_tokens: int = Field(384, description="longer answers are not trained on and count as failed")
    granted_tools: dict[str, tuple[str, ...]] = Field(
        {}, description="tools that an SLM may use while it answers, by task, group, or * for all: calculator, dates, those of tools.yaml"
    )
    training_method: Literal["lora", "alora", "rslora", "dora", "qlora", "full"] = Field("lora", description="how adapters are trained")
    lora_rank: int = 16
    lora_upper_layers: float = Field(1.0, gt=0, le=1, description="share of layers, from the top, that carry LoRA")
    learning_rate: float = 1.5e-3
    epochs: int = Field(5, ge=1, description="passes over the examples at most; `patience` ends training sooner")
    batch_size: int = 8
    patience: int = Field(1, description="epochs without better validation loss before training stops")
    failure_repeats: int = Field(2, description="how often an example on which an SLM failed is seen per epoch")
    teacher_model: str | None = Field(None, description="folder or catalogue name of a model whose logits are learned too; same tokenizer")
    distillation_alpha: float = Field(0.5, gt=0, le=1, description="weight of the teacher's logits against the recorded answer")
    distillation_temperature: float = Field(2.0, gt=0, description="temperature at which logits of teacher and student are compared")
    min_preference_pairs: int = Field(16, ge=1, description="failures with an answer of SLM and LLM from which DPO follows")
    preference_beta: float = Field(0.1, gt=0, description="DPO: how dear it is to leave what was learned before")
    checkpoint_steps: int = 20
    gradient_checkpointing: bool = Field(False, description="compute trained layers again when they learn: less memory, more time")
    trial_examples: int = Field(256, ge=1, description="training examples at most of the short fine-tunes that several bases are chosen by")
    trial_calls: int = Field(64, ge=1, description="validation calls at most that a short fine-tune is asked")
    min_task_validation: int = Field(20, ge=1, description="validation calls that a task needs for a verdict of its own")
    min_task_score: float = Field(0.2, ge=0, le=1, description="a task whose score is below this beyond noise stays with the LLM")

    # S6
    probe_examples: int = Field(16, description="validation examples that rank candidate bases")
    few_shot: int = Field(2, description="examples in the untuned base's prompt")
    lm_eval_limit: int = Field(40, description="test examples scored through lm-eval as well; 0: all of them")
    lm_eval_batch: int = Field(40, description="prompts that lm-eval decodes side by side")
    lm_eval_tolerance: float = Field(0.1, description="how far our exact match of an adapter may lie from that of lm-eval")
    bootstrap_samples: int = 2_000
    min_test_calls: int = Field(20, description="test calls below which the gate refuses to judge")
    failure_threshold: int = Field(20, description="failures since the newest adapter that start a retraining")
    similarity_pass: float = Field(0.9, description="text similarity from which a replayed text answer agrees")
    leeway: Leeway = Leeway()
    noninferiority_margin: float = Field(
        0.05, gt=0, lt=1, description="share of right answers that an adapter may lose against the teacher"
    )
    rare_tool_share: float = Field(0.05, description="share of a group's training calls below which a tool is rare")
    min_slice_calls: int = Field(10, description="test calls below which a slice's scores are marked as of few calls")
    general_items: int = Field(0, ge=0, description="items of the general-ability set asked of base and adapter; 0: all of them")
    graded_rows: int = Field(200, ge=0, description="answers at most in the table of graded answers; failures first")
    max_samples: int = Field(3, ge=1, description="samples at most of an SLM's answer, which vote; 1: the greedy one alone")
    verifier_examples: int = Field(
        0, ge=0, description="training calls at most whose answers a verifier model learns to judge; 0: there is none"
    )
    alpha: float = Field(0.1, gt=0, lt=1, description="share of SLM-served calls that may be wrong where the LLM is right")
    delta: float = Field(0.1, gt=0, lt=1, description="probability with which a release's certificates may fail to hold")
    machine_hour_usd: float = Field(0.05, ge=0, description="what an hour of the machine that runs SLMs costs, busy or idle")
    judge_url: str | None = Field(None, description="OpenAI-compatible base URL of an LLM judge, with /v1; None: no judge")
    judge_model: str = Field("gpt-4o-mini", description="the model that judges")
    judge_key_env: str | None = Field(None, description="environment variable with the judge's API key")
    judge_form: Literal["scale", "pairs"] = Field(
        "scale", description="rate from 1 to 10, or compare with the teacher's answer, both orders"
    )
    judge_calls: int = Field(100, description="test calls at most that are judged")

    # gateway
    upstreams: tuple[Upstream, ...] = Field(UPSTREAMS, description="who answers calls that no SLM answers")
    gateway_host: str = Field("127.0.0.1", description="beyond loopback every client needs an API key")
    gateway_port: int = 8080
    engines: int = Field(3, ge=1, description="SLMs that are kept in memory at once, of each of two releases while one follows the other")
    slm_servers: tuple[SlmServer, ...] = Field((), description="servers that answer for SLMs; others are answered here, by llama.cpp")
    stream_at_once: tuple[str, ...] = Field(
        (),
        description="tasks, groups, or *: their streams of text begin before the answer is verified; the promise is about the router alone",
    )
    slm_seconds: float = Field(20, gt=0, description="an SLM that takes longer is not waited for: the LLM answers")
    audit_share: float = Field(0.02, ge=0, le=1, description="share of SLM-served calls that the LLM is asked as well, drawn uniformly")
    trial_share: float = Field(0.1, gt=0, lt=1, description="share of calls that a release on trial answers as a canary")
    log_mode: Literal["batch", "sync"] = Field("batch", description="sync: an answer ends only when its call is committed")
    log_flush_seconds: float = Field(0.1, gt=0, description="batch: what a kill can cost")
    log_queue: int = Field(10_000, gt=0, description="calls that wait for the log; more are dropped and counted")
    max_request_mb: int = Field(64, description="larger requests are refused")

    # servers
    host: str = "127.0.0.1"
    dagster_port: int = 3000
    mlflow_port: int = 5000
    sensor_seconds: int = 15

    @property
    def lake(self) -> str:
        return self.lake_url or str(self.home / "lake")

    @property
    def call_log(self) -> Path:
        return self.home / "log" / "sealed.sqlite"

    @property
    def log_address(self) -> str:
        """The call log's SQLAlchemy URL; may hold a password."""
        return self.log_url.get_secret_value() if self.log_url else f"sqlite:///{self.call_log}"

    @property
    def context_tokens(self) -> int:
        """Room that an adapter's prompt and answer take."""
        return self.max_prompt_tokens + self.max_answer_tokens + 64

    @property
    def models(self) -> Path:
        return self.home / "models"

    @property
    def downloads(self) -> Path:
        return self.home / "downloads"

    @property
    def checkpoints(self) -> Path:
        return self.home / "checkpoints"

    @property
    def checkers(self) -> Path:
        """Users' checkers, one file for a task or a group."""
        return self.home / "checkers"

    @property
    def mlflow_uri(self) -> str:
        return f"sqlite:///{(self.home / 'mlflow' / 'mlflow.db').resolve()}"

    @property
    def mlflow_artifacts(self) -> Path:
        return (self.home / "mlflow" / "artifacts").resolve()

    @property
    def mlflow_url(self) -> str:
        return f"http://{self.host}:{self.mlflow_port}"

    @property
    def gateway_url(self) -> str:
        return f"http://{self.gateway_host}:{self.gateway_port}"

    @property
    def dagster_url(self) -> str:
        return f"http://{self.host}:{self.dagster_port}"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def get_settings() -> Settings:
    """The settings as the environment and `slm.toml` state them now."""
    return Settings()
