"""Chunks of a PNG without pixels: whether libpng, and so TensorFlow, reads them in silence.

It reads the picture in any case, but prints a line for each chunk that it finds odd: a million of
them in the log of a training, where such a file would be stored as it is.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

_ONCE = ("cHRM", "gAMA", "sBIT", "sRGB", "bKGD", "pHYs", "oFFs", "tIME", "iCCP", "eXIf", "sCAL")
_BEFORE_PIXELS = ("cHRM", "gAMA", "sBIT", "sRGB", "bKGD", "pHYs", "oFFs", "iCCP", "sCAL", "sPLT")
_BYTES = {"cHRM": 32, "gAMA": 4, "sRGB": 1, "pHYs": 9, "oFFs": 9, "tIME": 7}
_MAX_TEXTS = 1_000  # libpng keeps no more of them
_MAX_BODY = 8_000_000  # bytes of one chunk, as it stands and unpacked
_MAX_GAMMA, _MIN_GAMMA = 625_000_000, 16  # times 100,000
_SRGB_GAMMA, _GAMMA_SLACK = 45_455, 0.05
_PROFILE_HEADER = 132  # bytes
_INTENTS = 4
# (adler32, crc32) of sRGB profiles that libpng knows and names: two of 1998 that are wrong, in the
# files of many programs, and one without a signature.
_NAMED_PROFILES = (
    (0xF784F3FB, 0x182EA552),
    (0x0398F3FC, 0xF29E526D),
    (0xA054D762, 0x5D5129CE),
)


class SideChunks:
    """The chunks of one file, looked at in their order.

    Args:
      colour: the picture is RGB, not grey.
    """

    def __init__(self, colour: bool) -> None:
        self._colour = colour
        self._seen: set[str] = set()
        self._texts = 0
        self._gamma: int | None = None
        self._checks: dict[str, Callable[[bytes], bool]] = {
            "tEXt": self._is_text,
            "zTXt": self._is_packed_text,
            "iTXt": self._is_international_text,
            "gAMA": self._is_gamma,
            "sRGB": self._is_srgb,
            "cHRM": self._are_chromaticities,
            "sBIT": self._are_significant_bits,
            "bKGD": self._is_background,
            "hIST": lambda _: False,  # it belongs to a palette
            "eXIf": lambda body: body[:4] in (b"II*\0", b"MM\0*"),
            "iCCP": self._is_profile,
        }
        self.behind_pixels = False  # one of them came after the first pixels

    def is_plain(self, name: bytes, body: bytes, behind_pixels: bool) -> bool:
        """Whether libpng reads a chunk with a right checksum without a line about it."""
        self.behind_pixels = self.behind_pixels or behind_pixels
        kind = name.decode("latin-1")
        if kind in _ONCE and kind in self._seen:
            return False
        self._seen.add(kind)
        if kind in _BEFORE_PIXELS and behind_pixels:
            return False
        if len(body) > _MAX_BODY or len(body) != _BYTES.get(kind, len(body)):
            return False
        check = self._checks.get(kind)
        return check is None or check(body)

    def _is_text(self, body: bytes) -> bool:
        self._texts += 1
        return self._texts < _MAX_TEXTS and b"\0" in body

    def _is_packed_text(self, body: bytes) -> bool:
        return self._is_text(body) and _unpacked(body.partition(b"\0")[2][1:]) is not None

    def _is_international_text(self, body: bytes) -> bool:
        rest = body.partition(b"\0")[2]
        if rest[:1] != b"\1":  # not packed
            return self._is_text(body)
        parts = rest[2:].split(b"\0", 2)  # language, translated keyword, text
        return self._is_text(body) and len(parts) == 3 and _unpacked(parts[2]) is not None

    def _is_gamma(self, body: bytes) -> bool:
        self._gamma = int.from_bytes(body, "big")
        return _MIN_GAMMA <= self._gamma <= _MAX_GAMMA and self._gamma_fits()

    def _is_srgb(self, body: bytes) -> bool:
        return body[0] < _INTENTS and "iCCP" not in self._seen and self._gamma_fits()

    def _gamma_fits(self) -> bool:
        """Whether gamma is about that of sRGB where the file says that it is sRGB."""
        if self._gamma is None or "sRGB" not in self._seen:
            return True
        return abs(self._gamma - _SRGB_GAMMA) <= _GAMMA_SLACK * _SRGB_GAMMA

    def _are_chromaticities(self, body: bytes) -> bool:
        values = [int.from_bytes(body[at : at + 4], "big") for at in range(0, 32, 4)]
        pairs = zip(values[::2], values[1::2], strict=True)
        return all(y > 0 and x + y <= 100_000 for x, y in pairs)

    def _are_significant_bits(self, body: bytes) -> bool:
        return len(body) == (3 if self._colour else 1) and all(1 <= bits <= 8 for bits in body)

    def _is_background(self, body: bytes) -> bool:
        return len(body) == (6 if self._colour else 2)

    def _is_profile(self, body: bytes) -> bool:
        name, zero, rest = body.partition(b"\0")
        if not zero or rest[:1] != b"\0" or len(name) not in range(1, 80) or "sRGB" in self._seen:
            return False
        profile = _unpacked(rest[1:])
        if profile is None or len(profile) < _PROFILE_HEADER:
            return False
        size, tags = (int.from_bytes(profile[at : at + 4], "big") for at in (0, 128))
        return (
            size == len(profile)
            and size % 4 == 0
            and profile[36:40] == b"acsp"
            and profile[16:20] == (b"RGB " if self._colour else b"GRAY")
            and _PROFILE_HEADER + 12 * tags <= size
            and (zlib.adler32(profile), zlib.crc32(profile)) not in _NAMED_PROFILES
        )


def _unpacked(packed: bytes) -> bytes | None:
    """The text of a compressed chunk; None if it is damaged or above the limit."""
    inflater = zlib.decompressobj()
    try:
        text = inflater.decompress(packed, _MAX_BODY)
    except zlib.error:
        return None
    return text if inflater.eof else None
