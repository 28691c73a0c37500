"""Where a step's time goes, by measurement: `trainer diagnose`.

Data flows one way:

    phase_runner.py, phase_timing.py, device_phases.py, gather_cost.py
                         short phases on the real configuration -> measurements.py
    step_model.py        what each stage costs of a step, and what the step would be without it
    phase_rules.py       what to change, with the gain that follows from the model and from what
                         diagnosis_facts.py has of configuration, dataset and machine
    phase_verdict.py     the Bottleneck
    phase_table.py, diagnosis_json.py
                         what people and programs read of it
    diagnoser.py         all of it, and again after a change

Only phase_runner.py, device_phases.py, gather_cost.py and diagnoser.py need TensorFlow.
"""
