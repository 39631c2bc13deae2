"""The two partitionings of the asset graph: days of traffic, and groups that are trained, gated and released."""

import dagster as dg

from slm_pipeline.settings import get_settings

days = dg.DailyPartitionsDefinition(start_date=get_settings().first_day.isoformat(), end_offset=1)
groups = dg.DynamicPartitionsDefinition(name="group")
