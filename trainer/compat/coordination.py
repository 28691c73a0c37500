"""The message that tells TensorFlow's coordination service of its tasks.

Its module moved after TensorFlow 2.15, with the library that it belongs to; there is no public
way to it. The first branch can go with the default stack.
"""

from typing import Any

try:
    from tensorflow.tsl.protobuf import coordination_config_pb2
except ImportError:
    from tensorflow.compiler.xla.tsl.protobuf import coordination_config_pb2


def coordinated_job(name: str, tasks: int) -> Any:
    """A job of the cluster and how many tasks it has."""
    return coordination_config_pb2.CoordinatedJob(name=name, num_tasks=tasks)
