"""Where a step's time goes, by measurement: `trainer diagnose`.

Data flows one way:

    measure.py, device.py   short phases on the real configuration -> measurements.py; gather.py
                            measures what is not there yet
    step_model.py           what each stage costs of a step, and what the step would be without it
    rules.py                what to change, with the gain that follows from the model; advice.py has
                            what the rules look at and give
    words.py                the table and the sentence
    run.py                  all of it, and again after a change

Only measure.py, device.py, gather.py and run.py need TensorFlow.
"""
