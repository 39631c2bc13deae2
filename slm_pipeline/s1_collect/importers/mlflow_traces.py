"""MLflow traces, from a tracking server or as JSON: spans of a chat model whose inputs and outputs are the bodies of a call.

`mlflow.openai.autolog` and `mlflow.anthropic.autolog` write them so. The agent is the one that a tag or the trace's metadata names,
else the root span's name, else the experiment; the client is `mlflow.trace.user`. The session is `mlflow.trace.session`; else the
trace begins one, and calls that continue a conversation join it. Feedback becomes the outcome; an expected response of a trace with
one call is its gold answer.
"""

import re
import urllib.request
from collections.abc import Iterator
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlsplit

from slm_pipeline.lake import digest
from slm_pipeline.records import Json
from slm_pipeline.s1_collect.importers.chat import chat_call
from slm_pipeline.s1_collect.importers.fields import (
    AGENT,
    Found,
    found,
    milliseconds,
    number,
    parsed,
    pick,
    rows,
    seconds,
    table,
    text,
    usage_of,
)
from slm_pipeline.s1_collect.importers.outcomes import outcome_of

TYPES = ("CHAT_MODEL", "LLM")
PAGE = 100  # traces asked for at once
EXPECTED = "expected_response"


def traces_of(url: str) -> Iterator[Json]:
    """The traces of a tracking server, oldest first, each as JSON with its spans.

    `url` is the server's; `?experiment=NAME` (repeated for several) limits it to experiments, as does the address of one in MLflow's
    web UI. A database URI works too. Raises ConnectionError if no server answers, ValueError if an experiment is unknown.
    """
    server, names, ids = _address(url)
    _require_answer(server)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient(tracking_uri=server)
    try:
        experiments = [client.get_experiment(key) for key in ids] + [client.get_experiment_by_name(name) for name in names]
        if None in experiments:
            raise ValueError(f"MLflow at {server} has no experiment {names[experiments.index(None) - len(ids)]!r}.")
        for experiment in experiments or client.search_experiments():
            token = None
            while True:
                page = client.search_traces(
                    locations=[experiment.experiment_id], max_results=PAGE, page_token=token, order_by=["timestamp_ms ASC"]
                )
                for trace in page:
                    made = trace.to_dict()
                    made["info"]["experiment"] = experiment.name
                    yield made
                token = page.token
                if not token:
                    break
    except MlflowException as error:
        raise ConnectionError(f"MLflow at {server}: {error}") from error


def recognises(record: Json) -> bool:
    return isinstance(record.get("info"), dict) and isinstance(record.get("data"), dict) and "spans" in record["data"]


def calls(record: Json) -> Iterator[Found | str]:
    info = table(record.get("info"))
    spans = [(span, _attributes(span)) for span in rows(table(record.get("data")).get("spans"))]
    models = [(span, attributes) for span, attributes in spans if text(attributes.get("mlflow.spanType")) in TYPES]
    root = next((span for span, _ in spans if not pick(span, "parent_span_id", "parent_id")), None)
    assessments = rows(info.get("assessments"))
    outcome = outcome_of((pick(a, "assessment_name", "name"), table(a.get("feedback")).get("value")) for a in assessments)
    expected = next((table(a.get("expectation")).get("value") for a in assessments if pick(a, "assessment_name", "name") == EXPECTED), None)
    if isinstance(expected, str) and len(models) == 1:
        outcome = (outcome or {}) | {"gold": {"role": "assistant", "content": expected}}
    metadata = table(pick(info, "trace_metadata", "request_metadata"))
    about = table(info.get("tags")) | metadata
    trace = text(pick(info, "trace_id", "request_id"))
    for span, attributes in models:
        made = chat_call(parsed(attributes.get("mlflow.spanInputs")), parsed(attributes.get("mlflow.spanOutputs")))
        if isinstance(made, str):
            yield f"trace {trace}, span {span.get('name')!r}: {made}"
            continue
        request, response = made
        counted = table(attributes.get("mlflow.chat.tokenUsage"))
        usage = usage_of(*(counted.get(f"{side}_tokens") for side in ("input", "output", "total")))
        start, end = seconds(pick(span, "start_time_unix_nano", "start_time")), seconds(pick(span, "end_time_unix_nano", "end_time"))
        key = text(pick(span, "span_id"))
        yield found(
            "mlflow",
            f"{trace}-{key}" if trace and key else digest(span),
            timestamp=start if start is not None else seconds(pick(info, "request_time", "timestamp_ms")),
            agent=text(pick(about, *AGENT), None if root is span else pick(root, "name"), info.get("experiment")),
            client_id=text(metadata.get("mlflow.trace.user")),
            session_id=text(metadata.get("mlflow.trace.session")),
            run=trace,
            request=request,
            response=response | ({"usage": usage} if usage and not response.get("usage") else {}),
            latency_ms=milliseconds(start, end),
            cost=number(table(attributes.get("mlflow.llm.cost")).get("total_cost")),
            outcome=outcome,
            source={"trace": trace, "name": text(span.get("name"))},
        )


def _attributes(span: Json) -> Json:
    """The span's attributes; MLflow keeps each as JSON text."""
    made = table(span.get("attributes"))
    plain = re.compile(r'"[^"\\]*"')
    return {key: value[1:-1] if isinstance(value, str) and plain.fullmatch(value) else value for key, value in made.items()}


def _address(url: str) -> tuple[str, list[str], list[str]]:
    """The server's address, and the names and ids of experiments that the URL holds."""
    parts = urlsplit(url)
    shown = re.search(r"experiments/(\d+)", parts.fragment or parts.path) if parts.scheme.startswith("http") else None
    path = parts.path.partition("/experiments/")[0].rstrip("/") if shown else parts.path
    server = parts._replace(query="", fragment="", path=path).geturl()
    if not parts.netloc and parts.scheme:
        server = url.partition("?")[0]  # sqlite:////a/path has more slashes than a URL keeps
    return server.rstrip("/"), parse_qs(parts.query).get("experiment", []), [shown[1]] if shown else []


def _require_answer(server: str) -> None:
    """Fail at once where nothing listens: MLflow's client would try again for minutes."""
    if not server.startswith("http"):
        return
    try:
        urllib.request.urlopen(f"{server}/health", timeout=10).close()
    except HTTPError:
        return  # somebody is there, and MLflow's client knows how to log in
    except OSError as error:
        raise ConnectionError(f"No MLflow server answers at {server}: {error}. Start it, or correct the address.") from error
