"""Specifications -> manifests and scripts: pure functions, plain data, no network.

pod.py is the template shared by Job and JobSet, job.py and jobset.py wrap it, network.py lets its
workers find each other and denies access to others, slurm.py writes the batch script, services.py
a run's companion objects, text.py the YAML. Imports launch/spec.py and the flags of back ends,
nothing that starts or asks. Start reading at job.py, then pod.py.
"""
