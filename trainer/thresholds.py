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
# The time a device takes to catch up, of a window of calls, from which on what the host waited
# may have been hidden behind it: ours. A processor has nothing to catch up with, which takes some
# microseconds a call; a GPU that has less of twenty calls is idle for more than half of them.
CATCH_UP = 0.02
# One replica's own step over the median of the others', below which all are taken for equal: ours,
# twice the noise of a shared machine.
SLOW_REPLICA = 1.3
# One worker's input over that of the next slower, from which on it is named: ours.
WORKER_INPUT = 2.0
# A worker's wait for input less the median of the others', as a share of step time: ours, that of
# a run that is input-bound.
WORKER_WAITS_MORE = 0.20
# What a change must promise to be worth an advice: ours, about the noise of a measurement.
SMALL_GAIN = 0.05
# Operations running at a time over the cores there are, from which on those of the input take cores
# from those of the step: ours; an operation counts once, whatever threads it has of its own.
PROCESSOR_FULL = 0.9
# How far the rounds of a measurement must be apart, over their median, to be told: ours, twice what
# a quiet machine shows.
NOISY = 0.30
# Of a machine's processor, what other processes must take to be worth a remark where nothing of it
# is left: ours.
OTHERS_TAKE = 0.20
# How much faster than all later ones an epoch must have been for the run to have slowed down, and
# than the run a trace, to be of another time: ours, well beyond the noise of a shared machine.
SLOWED = 1.5
# Of a step, from which on its second largest part is named, and what the on-device layers take is
# worth an advice: ours, as much as much waiting for input.
SECOND_PART = 0.20
# Of a step, from which on the model itself is what there is to be said: ours.
MODEL_HIGH = 0.50
GET_NEXT_MICROSECONDS = 50.0  # a batch that is there sooner was not waited for
TRACED_STEPS = 5  # fewer tell little: the profiler's own tools lose the first and the last
