"""Which bases may be chosen: hard filters with every reason, among them whether the base fits the device and is fast enough on it."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import pandas as pd

from slm_pipeline.s4_select.base_models import is_obtainable
from slm_pipeline.s4_select.catalogue import CatalogueEntry, load_catalogue
from slm_pipeline.s4_select.device import Device, device_of
from slm_pipeline.s4_select.footprint import latency, memory
from slm_pipeline.s4_select.lengths import Lengths, group_lengths, longest_lengths
from slm_pipeline.settings import Settings


@dataclass(frozen=True)
class Candidate:
    """A base after the hard filters: `ok`, or every reason why not, joined by "; ".

    memory_gb: what it takes at the longest context of a prompt and its answer; seconds_p50, seconds_p95: from the call to the last
    token of its answer, for one user. None if the base's shape could not be confirmed.
    """

    name: str
    ok: bool
    reason: str
    hub_id: str | None = None
    params: int | None = None
    architecture: str | None = None
    licence: str | None = None
    context: int | None = None
    present: bool = False
    memory_gb: float | None = None
    seconds_p50: float | None = None
    seconds_p95: float | None = None


def candidates(settings: Settings, lengths: Lengths | None = None, device: Device | None = None) -> list[Candidate]:
    """Every entry of the catalogue, judged for calls of these lengths (None: the longest that the settings let through)."""
    entries = load_catalogue(settings)
    present = {e.name for e in entries if is_obtainable(e.name, settings)}
    tokens = settings.base_prompt_tokens + settings.max_answer_tokens
    return hard_filters(entries, present, settings, tokens, device or device_of(settings), lengths or longest_lengths(settings))


def hard_filters(
    entries: Iterable[CatalogueEntry], present: Collection[str], settings: Settings, longest: int, device: Device, lengths: Lengths
) -> list[Candidate]:
    """Judge every entry, in order; then refuse the names in `settings.base_models` that no entry has.

    `present` names the bases whose weights are on this machine or in a package; `longest` is the longest prompt with its answer, in
    tokens, that the untuned base must have room for.
    """
    judged = [_judge(e, e.name in present, settings, longest, device, lengths) for e in entries]
    unknown = sorted(set(settings.base_models) - {c.name for c in judged})
    return judged + [Candidate(name, False, "named in settings.base_models, but not in the catalogue") for name in unknown]


def unfit(bases: dict[str, CatalogueEntry], examples: pd.DataFrame, settings: Settings) -> dict[str, str]:
    """The bases that do not fit the device, or are too slow on it, for a group's own calls: the reason by name."""
    lengths, device = group_lengths(examples, settings), device_of(settings)
    reasons = {
        name: "; ".join(_device_reasons(*_numbers(e, settings, device, lengths), settings, device, lengths)) for name, e in bases.items()
    }
    return {name: reason for name, reason in reasons.items() if reason}


def costs(bases: dict[str, CatalogueEntry], examples: pd.DataFrame, settings: Settings) -> dict[str, tuple[float, float, int]]:
    """What a group's own calls cost on the device, by name: predicted seconds at the 95th percentile, gigabytes, parameters. What
    cannot be predicted counts as infinite, so that parameters decide."""
    lengths, device, unknown = group_lengths(examples, settings), device_of(settings), float("inf")
    found = {}
    for name, e in bases.items():
        gigabytes, _, seconds = _numbers(e, settings, device, lengths)
        found[name] = (unknown if seconds is None else seconds, unknown if gigabytes is None else gigabytes, e.params)
    return found


def _judge(e: CatalogueEntry, present: bool, settings: Settings, longest: int, device: Device, lengths: Lengths) -> Candidate:
    numbers = _numbers(e, settings, device, lengths)
    reasons = [] if e.refused else _device_reasons(*numbers, settings, device, lengths)
    reasons += [reason for fails, reason in _reasons(e, present, settings, longest) if fails]
    facts = (e.hub_id, e.params, e.architecture, e.licence, e.context, present)
    return Candidate(e.name, not reasons, "; ".join(reasons), *facts, *numbers)


def _numbers(e: CatalogueEntry, settings: Settings, device: Device, lengths: Lengths) -> tuple[float | None, ...]:
    """Gigabytes at the longest context, seconds at the 50th and 95th percentile."""
    if e.model is None:
        return None, None, None
    quantisation = settings.quantisation
    needed = memory(e.model, quantisation, lengths.prompt_p95 + lengths.answer_p95, device).total
    half = latency(e.model, quantisation, lengths.prompt_p50, lengths.answer_p50, device)
    most = latency(e.model, quantisation, lengths.prompt_p95, lengths.answer_p95, device)
    return round(needed / 1e9, 2), round(half, 2), round(most, 2)


def _device_reasons(
    gigabytes: float | None, _half: float | None, seconds: float | None, settings: Settings, device: Device, lengths: Lengths
) -> list[str]:
    reasons = []
    if gigabytes is not None and gigabytes > device.memory_gb:
        reasons.append(f"does not fit: {gigabytes:.2f} GB as {settings.quantisation}, {device.name} gives a model {device.memory_gb:g} GB")
    if seconds is not None and seconds > settings.max_latency_seconds:
        calls = f"{lengths.prompt_p95} + {lengths.answer_p95} tokens"
        reasons.append(f"too slow: {seconds:.1f} s for {calls} (p95) on {device.name}, the limit is {settings.max_latency_seconds:g} s")
    return reasons


def _reasons(e: CatalogueEntry, present: bool, settings: Settings, tokens: int) -> list[tuple[bool, str]]:
    return [
        (e.refused is not None, e.refused or ""),
        (e.params >= settings.max_base_params, f"too large: {_billions(e.params)}, the limit is {_billions(settings.max_base_params)}"),
        (
            not e.open and not settings.restricted_licences,
            f"licence is not open: {e.licence or 'not confirmed'}; settings.restricted_licences allows it",
        ),
        (e.context is not None and e.context < tokens, f"context too small: {e.context} tokens, prompt and answer need {tokens}"),
        (not e.refused and not present, f"weights are not on this machine: hub id {e.hub_id}"),
        (not e.refused and e.name not in settings.base_models, "not asked for: add it to settings.base_models"),
    ]


def _billions(params: int) -> str:
    return f"{params / 1e9:.2f} B"
