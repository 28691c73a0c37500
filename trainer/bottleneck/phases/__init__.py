"""Where a step's time goes, by measurement: `trainer diagnose`.

phase_runner.py and its relatives run short phases on the real configuration -> measurements.py;
step_model.py: what each stage costs of a step; phase_rules.py: what to change, and what it gains;
phase_verdict.py: the Bottleneck; phase_table.py and diagnosis_json.py: what is read of it.
Imports training, data and models, but TensorFlow only in phase_runner.py, device_phases.py,
gather_cost.py and diagnoser.py. Start reading at diagnoser.py.
"""
