"""`python -m trainer COMMAND`: a dataset directory to a trained model and its report."""

from trainer import cli

COMMANDS = {
    "train": "trains a configuration on a dataset; goes on where it stopped",
    "evaluate": "measures one run, or the average of several, on a split",
    "predict": "class probabilities of pictures, or the odd one out of triplets",
    "dataservice": "a server that reads and decodes for trainings on other machines",
    "presets": "the shipped configurations, a line each",
}

if __name__ == "__main__":
    cli.run("trainer", __doc__ or "", COMMANDS)
