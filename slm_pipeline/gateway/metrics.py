"""What Prometheus reads at /metrics."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

REGISTRY = CollectorRegistry()
_SECONDS = (0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300)

calls = Counter("slm_calls", "Calls by API, route and status to the client (499: it left).", ("api", "route", "status"), registry=REGISTRY)
decisions = Counter("slm_decisions", "Calls by who answered and why.", ("route", "reason"), registry=REGISTRY)
answer_seconds = Histogram(
    "slm_answer_seconds", "Time until an answer began, by who gave it.", ("route",), registry=REGISTRY, buckets=_SECONDS
)
overhead = Histogram(
    "slm_overhead_seconds",
    "Time of a call that was not spent waiting: for the upstream, for the client to take what it is sent, in sync mode for the log.",
    ("api",),
    registry=REGISTRY,
    buckets=(0.0005, 0.001, 0.0015, 0.002, 0.0025, 0.004, 0.008, 0.016, 0.032, 0.064, 0.25, 1),
)
upstream_seconds = Histogram("slm_upstream_seconds", "Time spent waiting for upstreams.", ("api",), registry=REGISTRY, buckets=_SECONDS)
upstream_errors = Counter("slm_upstream_errors", "Failed tries at an upstream.", ("upstream", "reason"), registry=REGISTRY)
broken_streams = Counter(
    "slm_broken_streams", "Streams that ended in an error after their first event.", ("api", "reason"), registry=REGISTRY
)
logged = Counter("slm_log_written", "Calls committed to the log.", registry=REGISTRY)
dropped = Counter("slm_log_dropped", "Calls that the log did not get.", ("reason",), registry=REGISTRY)
for reason in ("queue_full", "invalid", "stopped"):
    dropped.labels(reason)  # a counter that is 0 shall be seen
waiting = Gauge("slm_log_queue", "Calls that wait for the log.", registry=REGISTRY)
log_up = Gauge("slm_log_up", "Whether the last write to the log succeeded.", registry=REGISTRY)
engines_ready = Gauge("slm_engines_ready", "SLM engines that take calls.", registry=REGISTRY)
engines_loading = Gauge("slm_engines_loading", "SLM engines that are being started.", registry=REGISTRY)
slm_tries = Counter("slm_tries", "Calls that an SLM was asked, by what came of it.", ("outcome",), registry=REGISTRY)
feedback = Counter("slm_feedback", "Feedback booked.", registry=REGISTRY)


def exposition() -> bytes:
    """All metrics in Prometheus' text format."""
    return generate_latest(REGISTRY)
