"""Named limits of verdicts: shares of a step's time unless a unit is named.

Sources: `op_stats_to_input_pipeline_analysis.cc` of the TensorFlow profiler (5 and 20 % of step
time for input and for output; 3 and 15 % for kernel launches, collectives, and for what is neither
input nor device: Python); the TensorFlow guide "Analyze tf.data performance" (50 us).
"""

# Waiting for input from which a run is slightly input-bound: TensorFlow profiler.
INPUT_MODERATE = 0.05
# Waiting for input from which a run is input-bound: TensorFlow profiler.
INPUT_HIGH = 0.20
# Output in a trace from which there is an advice on it: TensorFlow profiler.
OUTPUT_MODERATE = 0.05
# Kernel launches in a trace from which there is an advice on them: TensorFlow profiler.
LAUNCH_MODERATE = 0.03
# Collectives in a trace from which there is an advice on them: TensorFlow profiler.
COLLECTIVE_MODERATE = 0.03
# Collectives from which a run is communication-bound: TensorFlow profiler.
COLLECTIVE_HIGH = 0.15
# Python in a trace from which there is an advice on it: TensorFlow profiler.
HOST_MODERATE = 0.03
# Python from which a run is overhead-bound: TensorFlow profiler.
HOST_HIGH = 0.15
# One replica's own step over the median of the others', below which all count as equal: ours,
# twice the noise of a shared machine.
SLOW_REPLICA = 1.3
# One worker's input time over that of the second slowest, from which it is named: ours.
WORKER_INPUT = 2.0
# A worker's wait for input minus the median of the others': ours, that of an input-bound run.
WORKER_WAITS_MORE = 0.20
# Least predicted gain of an advice of `diagnose`: ours, about the noise of a measurement.
SMALL_GAIN = 0.05
# Operations running at a time over the cores, from which those of the input take cores from those
# of the step: ours; an operation counts once, however many threads it has.
PROCESSOR_FULL = 0.9
# Spread of the rounds of a measurement over their median that is a caveat: ours, twice what a
# quiet machine shows.
NOISY = 0.30
# Share of a machine's processor taken by other processes that is a caveat if none of it is left:
# ours.
OTHERS_TAKE = 0.20
# Share of the samples of a GPU in which it was held back, from which that is a caveat: ours.
GPU_HELD_BACK = 0.20
# Clock of a GPU over its highest below which it counts as held back: ours. A power cap alone takes
# some per cent from every GPU that works hard.
GPU_CLOCK_LOW = 0.85
# Speed of an epoch over all later ones from which the run has slowed down, and of a run over its
# trace from which the trace is of another situation: ours, well beyond the noise of a shared
# machine.
SLOWED = 1.5
# From which the second largest part of a step is named, and the on-device layers are worth an
# advice: ours, the share at which waiting for input is the verdict.
SECOND_PART = 0.20
# From which there is an advice on the model itself: ours.
MODEL_HIGH = 0.50
# Of a run's wall-clock time, and in seconds, from which recurring work (saves, validations,
# restarts) is named before the steps: ours.
BESIDE_HIGH, BESIDE_SECONDS = 0.25, 30.0
# Of a run's wall-clock time, and in seconds, from which one-time work (start, image table) is named
# before the steps: ours. A run of a few minutes is mostly its start.
ONCE_HIGH, ONCE_SECONDS = 0.50, 60.0
# Of a run's wall-clock time, and in seconds, from which all that is not a step is named before the
# steps, by its largest part, where none of its parts is large enough alone, and the largest is at
# most so much of it: ours.
SPREAD_HIGH, SPREAD_SECONDS, SPREAD_LARGEST = 0.40, 30.0, 0.80
# Share of a run's time that saves may take if no fault has shown how often they are needed: ours.
SAVING_SHARE = 0.02
# Advised time between two saves over that which writing a state takes, so that no step waits for
# one that takes a little longer: ours.
WRITING_MARGIN = 1.25
# Share of a run's time that validations may take after an advised interval: ours.
VALIDATION_SHARE = 0.10
# Share of the periods of a CPU limit in which the container was throttled: ours; a sufficient limit
# is hit now and then.
THROTTLED_HIGH = 0.25
# Share of the time in which a process waited for memory (the kernel's pressure stall information),
# from which a run is short of memory: ours.
STALLED_HIGH = 0.10
# Share of what a run reads from storage that had been in memory before and was dropped for a memory
# limit, from which its waiting for input is put down to that: ours.
REREAD_HIGH = 0.25
GET_NEXT_MICROSECONDS = 50.0  # a batch that arrives sooner was not waited for
STEPS_A_CALL = 10  # advised steps_per_execution: Python then runs once in ten steps
TRACED_STEPS = 5  # least steps of a trace: the profiler's own tools lose the first and the last
