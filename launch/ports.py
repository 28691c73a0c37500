"""All ports. None of these servers has authentication: they stay inside the cluster."""

GRPC = 2222  # of a training worker, in TF_CONFIG; TensorFlow's own default
TENSORBOARD = 6006  # TensorBoard's own default
FLINK_REST = 8081  # Flink's own default
