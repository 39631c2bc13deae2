"""`slm serve`: the gateway as a process."""

import gc
import logging
import signal
import sys
from contextlib import suppress

import uvicorn

from slm_pipeline.gateway.app import make_app
from slm_pipeline.gateway.identity import Identity, is_loopback
from slm_pipeline.s1_collect.call_log import CallLog
from slm_pipeline.s1_collect.roles import Role
from slm_pipeline.settings import Settings

SWITCH_SECONDS = 0.0005  # how long the log's thread may keep the interpreter from a call
STOP_SECONDS = 15


class OpenToTheNetwork(RuntimeError):
    """The gateway would serve other machines without asking who they are."""


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or Ctrl-C; what is queued for the log is written before the end. Raises OpenToTheNetwork."""
    call_log = CallLog(settings, Role.COLLECTOR)
    if not is_loopback(settings.gateway_host) and Identity(call_log).open:
        mend = "Make one with `slm keys add CLIENT`, or keep gateway_host on 127.0.0.1."
        raise OpenToTheNetwork(f"Beyond loopback ({settings.gateway_host}) every client needs an API key, and there is none. {mend}")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    # a stream that broke off is cut on purpose, which the server would report as an error of ours
    logging.getLogger("uvicorn.error").addFilter(lambda record: "without completing response" not in record.getMessage())
    sys.setswitchinterval(SWITCH_SECONDS)
    config = uvicorn.Config(
        make_app(settings, call_log),
        host=settings.gateway_host,
        port=settings.gateway_port,
        loop="uvloop",
        http="httptools",
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    gc.collect()
    gc.freeze()  # what start-up made stays: collections need not look at it again
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the server raises again what stopped it
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run()
