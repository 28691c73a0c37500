"""Named limits of verdicts: shares of a step's time where no unit is named.

Sources: `op_stats_to_input_pipeline_analysis.cc` of the TensorFlow profiler (5 and 20 % of step
time for input and for output; 3 and 15 % for kernel launches, collectives, and for what is neither
input nor device: Python); the TensorFlow guide "Analyze tf.data performance" (50 us).
"""

INPUT_MODERATE = 0.05
INPUT_HIGH = 0.20
OUTPUT_MODERATE = 0.05
LAUNCH_MODERATE = 0.03
COLLECTIVE_MODERATE = 0.03
COLLECTIVE_HIGH = 0.15
HOST_MODERATE = 0.03
HOST_HIGH = 0.15

GET_NEXT_MICROSECONDS = 50.0  # a batch that is there sooner was not waited for
TRACED_STEPS = 5  # fewer tell little: the profiler's own tools lose the first and the last
