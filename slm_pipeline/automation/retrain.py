"""The retrain decision, as a pure function of counts."""

from collections.abc import Collection, Mapping


def groups_due(
    failures: Mapping[str, int], seen: Mapping[str, int], erased: Mapping[str, str], busy: Collection[str], threshold: int
) -> dict[str, str]:
    """The groups to retrain now, each with the watermark that justifies it: a failure total, or an adapter that must be replaced.

    `failures`: failures per group since the first day. `seen`: the same count when the group's newest adapter was
    trained; a group without an adapter is absent, for failures are failures of an adapter. `erased`: the newest adapter
    of groups whose adapter was trained on calls that have been erased. `busy`: groups with a run queued or running.
    """
    due = {group: str(total) for group, total in failures.items() if group in seen and total - seen[group] >= threshold}
    due |= {group: f"erased-{adapter}" for group, adapter in erased.items()}
    return {group: watermark for group, watermark in sorted(due.items()) if group not in busy}
