"""The retrain decision, as a pure function of counts."""

from collections.abc import Collection, Mapping


def groups_due(failures: Mapping[str, int], seen: Mapping[str, int], busy: Collection[str], threshold: int) -> dict[str, int]:
    """The groups to retrain now, with the failure total that justifies it.

    `failures`: failures per group since the first day. `seen`: the same count when the group's newest adapter was
    trained; a group without an adapter is absent, for failures are failures of an adapter. `busy`: groups with a run
    queued or running.
    """
    return {
        group: total
        for group, total in sorted(failures.items())
        if group in seen and group not in busy and total - seen[group] >= threshold
    }
