"""`slm bench replaceability`: the whole loop on given traffic, and how much of it SLMs can take, beside the paper's estimates."""

from pathlib import Path

from slm_pipeline.bench._home import temporary_home
from slm_pipeline.bench._traffic import files_of
from slm_pipeline.lake import Lake
from slm_pipeline.records import Json
from slm_pipeline.s6_refine.release import promised
from slm_pipeline.s6_refine.replaceability import PAPER
from slm_pipeline.settings import Settings
from slm_pipeline.terminal import terminal


def measure(settings: Settings, data: Path | None) -> Json:
    """`calls`, `tokens`, `cost`: the shares that SLMs can take within `margin`, with `*_low` and `*_high` (resampled sessions; None where
    nothing is known); `release`: what a release would promise; `n`: calls of all traffic; `judged`: calls that these shares
    were measured on; `groups`, and how many of them have `champions`; `paper_…`: what the paper estimates for other agents."""
    from slm_pipeline.imports import import_file
    from slm_pipeline.run import run_loop
    from slm_pipeline.s1_collect.sample import sample_traffic

    progress = terminal(stderr=True)
    files = [sample_traffic(settings)] if data is None else files_of(data)
    with temporary_home(settings) as fresh:
        for file in files:
            import_file(file, fresh, progress)
        run_loop(fresh, progress)
        lake = Lake(fresh.lake)
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
