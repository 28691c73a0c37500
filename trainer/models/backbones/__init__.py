"""The backbones, a file each: `FORM` as it is written in model.backbone, and `build`.

Names and forms are read from the source (trainer/config/entries.py), so a new file is all that a
new backbone takes. `build(wanted)` gets a trainer.models.wanted.Wanted and returns features
float [N, F]. Imports the room above. Start reading at cnn.py.
"""
