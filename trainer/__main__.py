"""`python -m trainer COMMAND`: a dataset directory to a trained model and its report."""

from trainer import cli

COMMANDS = {
    "train": "trains a configuration on a dataset; goes on where it stopped",
    "evaluate": "measures one run, or the average of several, on a split",
    "predict": "class probabilities of pictures, or the odd one out of triplets",
    "dataservice": "a server that reads and decodes for trainings on other machines",
    "embed": "embeddings of pictures, in a file and in TensorBoard's projector",
    "neighbours": "the pictures nearest to one, as a contact sheet",
    "export": "a SavedModel that takes JPEG or PNG bytes and needs none of this code",
    "check": "looks at everything that would end or slow a long run, in seconds",
    "capture": "a TensorBoard trace of some steps of a training that is under way",
    "diagnose": "where the time goes, and which part to change",
    "search": "searches a space of configurations by many short runs",
    "presets": "the shipped configurations, a line each",
}

if __name__ == "__main__":
    cli.run("trainer", __doc__ or "", COMMANDS)
