"""What a run prints: the lines that assets log with `context.log`, without Dagster's own events."""

import logging
import sys

import dagster as dg


class _AssetLines(logging.Formatter):
    """`adapter: epoch 2 of 4, validation loss 0.412`, from the message as the asset gave it."""

    def format(self, record: logging.LogRecord) -> str:
        meta = getattr(record, "dagster_meta", {})
        line = f"{meta.get('step_key') or meta.get('job_name') or 'run'}: {meta.get('orig_message', record.getMessage())}"
        return line if record.exc_info is None else f"{line}\n{self.formatException(record.exc_info)}"


@dg.logger(description="Lines of assets from INFO up; Dagster's own events are DEBUG and stay in the web UI.")
def console(_context: dg.InitLoggerContext) -> logging.Logger:
    logger = logging.Logger("slm_pipeline", level=logging.INFO)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_AssetLines())
    logger.addHandler(handler)
    return logger
