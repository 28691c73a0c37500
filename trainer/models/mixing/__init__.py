"""Ways to mix two pictures of a batch and their labels, a file each: `SETTINGS` and `build`.

SETTINGS are keys of the section `augment` as those of the on-device layers; the first of them
switches it on. `build(augment)` gives a function, or None if it is off: (pictures [b, H, W, C], the
pictures to mix in) -> (mixed pictures, share [b] of each that is still its own). Random numbers
come from `randomness.uniform` with a label of its own; trainer/models/build_mixing.py pairs the
rows. Imports config, layers and the room above. Start reading at mixup.py.
"""
