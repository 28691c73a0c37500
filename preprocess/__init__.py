"""CSV and image folders -> dataset directory.

sources/ finds pictures, labels and votes in what people have; build/ plans the shards and writes
the manifest; engines/ runs shards/, where a plain function builds one shard, on Beam. pictures/
decodes within limits, augment/ holds the recipes, storage/ local folders and gs://, download/
fetches the pictures of a table of URLs, follow/ builds variants while a training runs, examine/
and synth/ do what their commands say, shell/ is what all commands share. Imports neither trainer
nor launch nor TensorFlow. Start reading at dataset_format.py, then build/.
"""
