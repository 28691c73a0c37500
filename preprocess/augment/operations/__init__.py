"""What a recipe can name, a file each: its settings and their limits, its draw, its pixels.

The name is the file's, the description the first line of its docstring (docs/extending.md).
Changing what an existing one draws, the order of its settings or their defaults changes every
dataset built with it. Neighbours that call `canvas.warp` are fused into one resampling, those that
call `canvas.look_up` into one table. Coordinates are pixels, x to the right and y downwards, the
centre of the first pixel at (0, 0). Imports canvas, operation and settings of the room above.
Start reading at cutout.py.
"""
