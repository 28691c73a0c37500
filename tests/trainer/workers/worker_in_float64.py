"""One of two workers, whose model computes in float64: its first steps, in a file of its rank.

python -m tests.trainer.workers.worker_in_float64 CONFIG DATA FOLDER STEPS, with TF_CONFIG set.
"""

from __future__ import annotations

import sys

import numpy as np

from tests.trainer.workers.double_precision import session_in_float64, steps_in_float64
from trainer.config import load_config
from trainer.workers import devices
from trainer.workers.cluster import cluster_of_environment


def main(config_file: str, data: str, folder: str, count: int) -> None:
    """Writes the sums and records of each step, and the weights before and after all of them."""
    config, cluster = load_config(config_file, []), cluster_of_environment()
    strategy = devices.prepare(config, print, cluster)
    session = session_in_float64(config, data, strategy)
    found = {f"before_{at}": weights for at, weights in enumerate(session.model.get_weights())}
    for step, (sums, records) in enumerate(steps_in_float64(session, data, count)):
        found |= {f"sums_{step}": sums, f"records_{step}": records}
    found |= {f"after_{at}": weights for at, weights in enumerate(session.model.get_weights())}
    assert cluster
    np.savez(f"{folder}/worker-{cluster.rank}.npz", **found)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
