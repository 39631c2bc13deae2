"""The records of a file, one after the other: its lines, or the items of a JSON document however large.

A document is an array, or an object that wraps one (`{"data": [...]}`), on one line or on many; several may follow each other. It
is cut at its brackets, so that an item with bad JSON costs only itself. Where a bracket or quote is missing, what follows is lost.
"""

import io
import re
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from pydantic_core import from_json

from slm_pipeline.records import Json
from slm_pipeline.s1_collect.importers import lines
from slm_pipeline.s1_collect.importers.lines import CUT_OFF, Damage, cut_off, numbered_lines, opened

LISTS = ("data", "resourceSpans", "resource_spans", "observations", "traces", "requests", "results")
_WRAPS = re.compile(rb'"(?:%s)"\s*:\s*\Z' % "|".join(LISTS).encode())
_WRAPPED = re.compile(rb'"(?:%s)"\s*:\s*\[' % "|".join(LISTS).encode())
# a string that meets a line end lost its closing quote; the last alternative is a string that goes on in the next chunk
_TOKEN = re.compile(rb'"[^"\\\n]*+(?:\\[^\n][^"\\\n]*+)*+(?:"|\\?\n)|[][{}]|"')
CHUNK = 1 << 20
HEAD = 1 << 16
KEY = 64  # bytes that hold the name of a list


def records(path: Path, is_record: Callable[[Json], bool]) -> Iterator[tuple[int, Json | Damage]]:
    """Yield (number from 1 of the line, or of the item of a document; record). What `is_record` is not looked into for a list."""
    if _is_document(path):
        with opened(path) as file:
            for number, item in enumerate(elements(file), 1):
                yield from ((number, record) for record in _records(item, is_record))
        return
    for number, line in numbered_lines(path):
        items = [line]
        if isinstance(line, bytes) and _WRAPPED.search(line) and not _is_json(line):
            items = elements(io.BytesIO(line))  # one bad item shall not cost the others
        for item in items:
            yield from ((number, record) for record in _records(item, is_record))


def _records(data: bytes | Damage, is_record: Callable[[Json], bool]) -> Iterator[Json | Damage]:
    """The record in `data`, or those in the list that it is or around which it is wrapped."""
    if isinstance(data, Damage):
        yield data
        return
    try:
        value = from_json(data, allow_inf_nan=False)
    except ValueError as error:
        yield Damage(f"bad JSON: {error}")
        return
    items = [value]
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        items = value
    elif isinstance(value, dict) and not is_record(value):
        items = next((value[name] for name in LISTS if isinstance(value.get(name), list)), items)
    for item in items:
        yield item if isinstance(item, dict) else Damage(f"a JSON object is expected, found {type(item).__name__}")


def elements(file: BinaryIO) -> Iterator[bytes | Damage]:
    """The objects and arrays in the JSON documents of a file, streamed: those in its lists, or itself if it wraps none."""
    buffer, at, start, depth, base, flat, skipping, ended = b"", 0, -1, 0, 0, True, False, False
    while not ended:
        if start < 0 and len(buffer) - at > lines.MAX_LINE:
            buffer, at = b'"' + buffer[len(buffer.rstrip(b"\\")) :], 0  # the string goes on, but what it says is not wanted
        keep = start if start >= 0 else at
        try:
            chunk = file.read(max(CHUNK, len(buffer) - keep))
        except CUT_OFF as error:
            yield cut_off(error)
            return
        buffer, at, start, ended = buffer[keep:] + chunk, at - keep, min(start, 0), not chunk
        if start == 0 and len(buffer) > lines.MAX_LINE:
            yield Damage(f"longer than {lines.MAX_LINE >> 20} MiB, or a bracket or quote in it is missing")
            start, skipping = -1, True
        for token in _TOKEN.finditer(buffer, at):
            at, sign = token.end(), token[0]
            if sign == b'"':
                at = token.start()
                break
            if sign in (b"{", b"["):
                depth += 1
                if depth == 1 and sign == b"[":
                    base = 1  # an array: its items are the records
                elif depth == base + 1 and not skipping:
                    start, flat = token.start(), True
                elif depth == 2 and base == 0 and flat and start >= 0:
                    if sign == b"[" and _WRAPS.search(buffer[max(start, token.start() - KEY) : token.start()]):
                        base, start = 2, -1  # an object around a list
                    flat = False  # what holds more than plain fields before its list is a record of its own
            elif sign in (b"}", b"]"):
                depth = max(depth - 1, 0)
                if depth == base and start >= 0:
                    yield buffer[start:at]
                    start = -1
                skipping = skipping and depth > base
                if depth < base:
                    # what stands around a list that has ended is no record
                    base, skipping = 0, depth > 0
        else:
            at = len(buffer)
    if start >= 0 or depth:
        yield Damage("the document ends in the middle: a bracket or quote is missing; what stands before it was read")


def _is_document(path: Path) -> bool:
    """Whether the file is one JSON document (or several of many lines) and not a record per line."""
    with opened(path) as file:
        try:
            head = file.read(HEAD).removeprefix(b"\xef\xbb\xbf").lstrip()
        except CUT_OFF:
            return False
    if head[:1] not in (b"{", b"["):
        return False
    several = []
    for _, line in islice(numbered_lines(path), 3):
        if isinstance(line, Damage):
            return not several and (head[:1] == b"[" or bool(_WRAPPED.search(head)))
        several.append(line)
    first, *others = several
    if first[:1] == b"{" and (_is_json(first) or not others):
        return False
    goes_on = first[-1:] in (b"{", b"[", b",", b":")
    if not others or not (others[0][:1] == b"{" and others[0][-1:] == b"}"):
        return goes_on or first[:1] == b"["
    # a record on the second line: either the first one is broken, or it opens a list of this one record
    return goes_on and len(others) > 1 and others[1][:1] in (b"]", b"}", b",")


def _is_json(data: bytes) -> bool:
    try:
        from_json(data, allow_inf_nan=False)
    except ValueError:
        return False
    return True
