"""How much work decoding a stored picture is, from its header and the number of its scans alone."""

from __future__ import annotations

from preprocess.pictures import jpeg, png
from preprocess.pictures.container import check_size
from preprocess.pictures.limits import MAX_SCANS, most_scans
from preprocess.pictures.refusal import PictureReason, Refused

_SCAN = b"\xff\xda"
_PNG_SIZE = 16  # where width and height stand


def check_work(data: bytes) -> None:
    """For who decodes JPEG and PNG files by something else than `decode`, which has its own look.

    Takes a few microseconds: the header of most JPEGs shows that there is one scan. In others, what
    only looks like a scan is distinguished where it matters.

    Raises:
      Refused: with TOO_LARGE, or NOT_A_PICTURE where it is neither a JPEG nor a PNG. What is
        damaged is left to the decoder.
    """
    if data.startswith(png.SIGNATURE):
        width, height = (
            int.from_bytes(data[at : at + 4], "big") for at in (_PNG_SIZE, _PNG_SIZE + 4)
        )
        check_size(width, height)
        return
    if not data.startswith(jpeg.SIGNATURE):
        raise Refused(PictureReason.NOT_A_PICTURE, "neither a JPEG nor a PNG")
    once = jpeg.size_of_one_scan(data)
    if once:
        check_size(*once)
        return
    width, height = jpeg.size(data)
    allowed = most_scans(check_size(width, height))
    if data.count(_SCAN) > min(allowed, MAX_SCANS):
        jpeg.inspect(data)
