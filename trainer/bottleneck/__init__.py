"""The one verdict on what holds a run back: from the loop's clock, a trace, measured phases.

bottleneck.py has the value, evidence.py the facts it rests on, sentences.py all its English,
remedies.py every remedy, thresholds.py every limit. loop_verdict.py, trace/ and phases/ make it,
run_caveats.py adds to it. Imports training, data and monitoring; trainer/report draws it.
Start reading at bottleneck.py.
"""
