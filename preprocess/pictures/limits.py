"""What is decoded, and how much of it: the same for the builder, the trainer and predict."""

from __future__ import annotations

# Pillow's decoders that may be used: no PostScript, no fonts, no vendor formats. A phone photo
# with a second picture in it (MPO) opens as JPEG.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM")

MAX_BYTES = 64 << 20  # of the file
MAX_PIXELS = 64_000_000  # 192 MB as RGB; larger than any phone's ordinary picture
MAX_SIDE = 65_500  # pixels, what libjpeg can write
# Segments of a JPEG, chunks of a PNG, blocks of a GIF: each costs a reader time and memory however
# small it is. A 64 MB file has 8,000 where a writer puts 8 kB into each.
MAX_PARTS = 100_000
# Each scan of a JPEG goes over all pixels, whatever few bytes it has. Encoders write about ten;
# this is 31 for the largest picture, and some seconds of work.
MAX_SCANS = 1_000
MAX_SCANNED_PIXELS = 2_000_000_000
# What a decoder may read of a file, as a multiple of its size: tags that all point to the same
# large place would be read, and kept, thousands of times.
MAX_READ_FACTOR = 4
# Above so many pixels, pictures are decoded one after another: besides the pixels, a progressive
# JPEG takes twice their memory, and a builder has a thread for each core.
LARGE_PIXELS = 16_000_000


def most_scans(pixels: int) -> int:
    """How many scans a JPEG of that many pixels may have."""
    return min(MAX_SCANS, MAX_SCANNED_PIXELS // max(pixels, 1))
