"""Bytes of a picture file -> its pixels, within limits: the one decoder that the builder, the
trainer's predict and its relatives share.

A stranger may have written the file. limits.py has what is decoded and how much of it; jpeg.py,
png.py, gif.py and webp.py look at a file's structure before Pillow sees it. Imports the standard
library, numpy and Pillow only, so that the trainer can import it. Start reading at decode.py.
"""
