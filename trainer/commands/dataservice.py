r"""Starts one server of a tf.data service, which reads and decodes for trainings on other machines.

    python -m trainer dataservice --role=dispatcher [--port=5050] [--work_dir=DIR]
    python -m trainer dataservice --role=worker --dispatcher=grpc://HOST:5050 [--port=5051] \
        [--advertise=HOST:PORT]
    python -m trainer train ... --config.data.service=grpc://HOST:5050

One dispatcher, any number of workers; all of them and the trainings see the dataset under the same
path or gs:// address. With --work_dir a restarted dispatcher resumes. Workers may come and go at
any time: the training reads what a lost one was processing.

THERE IS NO AUTHENTICATION, and TensorFlow listens on every network interface: whoever reaches a
port can make the server read any file that it may read. Keep the ports inside a network you trust.
Exits on SIGTERM.
"""

from __future__ import annotations

import os
import re

from absl import flags

from preprocess.shell.cli import no_arguments, say
from preprocess.shell.errors import UsageError
from preprocess.shell.path_flags import define_path

DISPATCHER_PORT = 5050

_ROLE = flags.DEFINE_enum("role", None, ["dispatcher", "worker"], "Which server.", required=True)
_HOST = flags.DEFINE_string(
    "host", "localhost", "Name of this machine, as the other servers and trainings reach it."
)
_PORT = flags.DEFINE_integer(
    "port", DISPATCHER_PORT, "Port to listen on; 0 = a free one.", lower_bound=0, upper_bound=65535
)
_WORK_DIR = define_path("work_dir", "", "Journal of a dispatcher; '' = none.")
_DISPATCHER = flags.DEFINE_string(
    "dispatcher", "", "Of a worker: address of its dispatcher, grpc://HOST:PORT."
)
_ADVERTISE = flags.DEFINE_string(
    "advertise", "", "Of a worker: HOST:PORT at which trainings reach it; '' = --host and --port."
)


def main(arguments: list[str]) -> None:
    """Serves until SIGTERM."""
    no_arguments(arguments)
    role = _ROLE.value
    _refuse_foreign(role)
    if role == "worker" and not re.fullmatch(r"grpc://\S+:\d+", _DISPATCHER.value):
        raise UsageError(
            f"--dispatcher={_DISPATCHER.value or '(missing)'}: a worker takes the address of its "
            "dispatcher, grpc://HOST:PORT"
        )
    from trainer.compat import quiet

    quiet.silence()
    # Servers have nothing for a GPU, which a training on this machine may need whole.
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    from trainer.data import service_servers as data_service

    ended = data_service.end_on_signals()
    if role == "dispatcher":
        server = data_service.dispatcher(_PORT.value, _WORK_DIR.value, say)
        target = f"grpc://{_HOST.value}:{server.target.rpartition(':')[2]}"
    else:
        advertise = _ADVERTISE.value or f"{_HOST.value}:{_PORT.value or '%port%'}"
        server = data_service.worker(_PORT.value, _DISPATCHER.value, advertise)
        target = f"{advertise}, for {_DISPATCHER.value}"
    say(
        "WARNING: no authentication, and TensorFlow listens on all network interfaces, whatever "
        "--host says: whoever reaches this port can have files read. Trusted networks only"
    )
    print(f"{role} at {target}", flush=True)
    data_service.serve(server, ended)
    say(f"{role}: ended")


def _refuse_foreign(role: str) -> None:
    """Raises UsageError for a flag of the other role."""
    foreign = [_DISPATCHER, _ADVERTISE] if role == "dispatcher" else [_WORK_DIR]
    for flag in foreign:
        if flag.value:
            raise UsageError(f"--{flag.name} is not for --role={role}")
