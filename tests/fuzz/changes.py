"""Valid inputs, changed: bytes anywhere, values of JSON and YAML by others of any kind."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

# What programs trip over, as a value in place of another.
HOSTILE: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, -1, 1, 2**31, 2**63, -(2**63) - 1, 10**400, 10**15]),
    st.sampled_from([float("nan"), float("inf"), -0.0, 1e308, 5e-324]),
    st.sampled_from(["", "..", "../../etc/passwd", "/etc/passwd", "~", "a\0b"]),
    st.sampled_from(["\x1b[2J", "\n", "--x", "\u202e", "\ud800", "x" * 10_000, "%s%n", "$(id)"]),
    st.sampled_from(["²", "1e999", "0x10", "a" * 300]),
    st.sampled_from([[], {}, [[]], [None], {"": None}, [[[[[[]]]]]], {"a": {"b": {"c": []}}}]),
    st.text(max_size=20),
    st.integers(),
    st.floats(),
)  # fmt: skip
# Whole files that are none.
ODD_FILES = (b"", b"\0", b"\xff\xfe", b"[" * 100_000, b"{" * 5_000, b'{"a":' * 50_000, b"null",
             b"\n" * 9, b"9" * 5_000, b'"' + b"\\ud800" + b'"', b"\xef\xbb\xbf{}")  # fmt: skip
_BOUNDARIES = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\0\0\0\x01")


@st.composite
def changed_bytes(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds with up to eight edits."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 8))):
        at = draw(st.integers(0, len(data)))
        length = draw(st.integers(0, 64))
        kind = draw(st.sampled_from(("set", "number", "insert", "delete", "repeat", "cut")))
        if kind == "set":
            data[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
        elif kind == "number":
            data[at : at + 4] = draw(st.sampled_from(_BOUNDARIES))
        elif kind == "insert":
            data[at:at] = draw(st.binary(max_size=16))
        elif kind == "delete":
            del data[at : at + length]
        elif kind == "repeat":
            data[at:at] = data[at : at + length] * draw(st.integers(1, 100))
        elif draw(st.booleans()):
            del data[at:]
    return bytes(data)


@st.composite
def changed_value(draw: st.DrawFn, value: Any) -> Any:
    """Plain data with up to three values replaced, keys renamed or parts left out."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 3))):
        holder, key = _place(draw, value)
        if holder is None:
            return draw(HOSTILE)
        kind = draw(st.sampled_from(("replace", "replace", "delete", "rename", "repeat")))
        if kind == "replace":
            # A copy: a later change may be inside it, and the strategy gives the same object again.
            holder[key] = copy.deepcopy(draw(HOSTILE))
        elif kind == "delete":
            del holder[key]
        elif isinstance(holder, list):
            holder[key:key] = [holder[key]] * draw(st.integers(1, 50))
        else:
            holder[draw(st.text(max_size=8))] = holder.pop(key)
    return value


def changed_json(value: Any) -> st.SearchStrategy[bytes]:
    """The bytes of a JSON file."""
    whole = json.dumps(value).encode()
    return st.one_of(
        changed_value(value).map(lambda changed: json.dumps(changed).encode()),
        changed_bytes([whole]),
        st.sampled_from(ODD_FILES),
    )


def _place(draw: st.DrawFn, value: Any) -> tuple[Any, Any]:
    """A container inside plain data and a key of it; (None, None) where nothing is inside."""
    holder, key = None, None
    while isinstance(value, (dict, list)) and value and (holder is None or draw(st.booleans())):
        keys = list(value) if isinstance(value, dict) else range(len(value))
        holder, key = value, draw(st.sampled_from(keys))
        value = holder[key]
    return holder, key
