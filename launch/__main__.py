"""`python -m launch COMMAND`: the builder and the trainer, on this machine or on a cluster."""

from trainer import cli

COMMANDS = {
    "train": "starts a training run",
    "render": "prints what a verb would submit, and submits nothing",
    "lint": "checks manifests by this project's rules",
}

if __name__ == "__main__":
    cli.run("launch", __doc__ or "", COMMANDS)
