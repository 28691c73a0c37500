"""Specifications to manifests and scripts: pure functions, plain data, no network.

`pod.py` is the template that a Job and a JobSet share, `job.py` and `jobset.py` wrap it,
`network.py` lets its workers find each other and nobody else in, `slurm.py` writes the batch
script, `services.py` a run's companion objects, `text.py` the YAML.
"""
