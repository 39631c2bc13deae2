"""`slm bench replaceability`: the whole loop on given traffic, and how much of it SLMs can take, beside the paper's estimates."""

from pathlib import Path

from slm_pipeline.bench._home import temporary_home
from slm_pipeline.bench._traffic import files_of, trained
from slm_pipeline.records import Json
from slm_pipeline.s6_refine.release import promised
from slm_pipeline.s6_refine.replaceability import PAPER
from slm_pipeline.settings import Settings


def measure(settings: Settings, data: Path | None) -> Json:
    """`calls`, `tokens`, `cost`: the shares that SLMs can take within `margin`, with `*_low` and `*_high` (resampled sessions; None where
    nothing is known); `release`: what a release would promise; `n`: calls of all traffic; `judged`: calls that these shares
    were measured on; `groups`, and how many of them have `champions`; `paper_…`: what the paper estimates for other agents. Traffic of
    arithmetic steps has a checker that knows what is right."""
    from slm_pipeline.s1_collect.sample import sample_traffic

    files = [sample_traffic(settings)] if data is None else files_of(data)
    with temporary_home(settings) as fresh:
        lake = trained(fresh, files).lake
        found = lake.read("s6_refine/replaceability").json("replaceability")
        groups, routers = lake.partitions("s3_cluster/task_examples"), lake.partitions("s6_refine/router_model")
        judged = sum(len(lake.read("s6_refine/router_model", group).table("outcomes", ["id"])) for group in routers)
        figures: Json = {"release": promised(lake), "n": found["unpriced"]["of"]}
    figures |= {"judged": judged, "groups": len(groups), "champions": len(routers)}
    for what in ("calls", "tokens", "cost"):
        share = found[what] or {"mean": None, "low": None, "high": None}
        figures |= {what: share["mean"], f"{what}_low": share["low"], f"{what}_high": share["high"]}
    paper = {f"paper_{agent.lower().replace(' ', '_')}": share for agent, share in PAPER.items()}
    return figures | {"margin": found["margin"], "seed": settings.seed} | paper
