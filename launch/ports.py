"""Every port, in one place. None of these servers has authentication: they stay in the cluster."""

GRPC = 2222  # of a training worker, in TF_CONFIG; TensorFlow's own default
PROFILER = 6009  # tf.profiler's server in a training worker
TENSORBOARD = 6006  # TensorBoard's own default
DATA_SERVICE = 5050  # dispatcher and workers of the tf.data service
FLINK_REST = 8081  # Flink's own default
BEAM_WORKER_POOL = 50000  # Beam's default for `-worker_pool`
