"""The one module that Dagster loads: wiring only."""

import dagster as dg

from slm_pipeline.automation.jobs import jobs
from slm_pipeline.automation.schedules import schedules
from slm_pipeline.automation.sensors import sensors
from slm_pipeline.console import console
from slm_pipeline.s1_collect import assets as s1_assets
from slm_pipeline.s1_collect import checks as s1_checks
from slm_pipeline.s2_curate import assets as s2_assets
from slm_pipeline.s2_curate import checks as s2_checks
from slm_pipeline.s3_cluster import assets as s3_assets
from slm_pipeline.s3_cluster import checks as s3_checks
from slm_pipeline.s4_select import assets as s4_assets
from slm_pipeline.s4_select import checks as s4_checks
from slm_pipeline.s5_finetune import assets as s5_assets
from slm_pipeline.s5_finetune import checks as s5_checks
from slm_pipeline.s6_refine import assets as s6_assets
from slm_pipeline.s6_refine import checks as s6_checks

defs = dg.Definitions(
    assets=dg.load_assets_from_modules([s1_assets, s2_assets, s3_assets, s4_assets, s5_assets, s6_assets]),
    asset_checks=dg.load_asset_checks_from_modules([s1_checks, s2_checks, s3_checks, s4_checks, s5_checks, s6_checks]),
    jobs=jobs,
    sensors=sensors,
    schedules=schedules,
    loggers={"console": console},
)
