"""Bytes of a picture file -> its pixels, within limits: the one decoder that the builder, the
trainer's predict and its relatives share.

A stranger may have written the file. `limits` has what is decoded and how much of it, `jpeg`,
`png`, `gif` and `webp` look at a file's structure before Pillow sees it. Standard library, numpy
and Pillow only, so that the trainer can import it. Start reading at decode.py.
"""
