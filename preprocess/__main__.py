"""`python -m preprocess COMMAND`: pictures and tables to a dataset directory."""

from preprocess import cli

COMMANDS = {
    "build": "a table or folders of pictures -> a dataset directory; goes on where it stopped",
    "plan": "what a build would cost, and warnings, before any work",
    "verify": "is every byte of a dataset directory what its manifest says",
    "info": "what is in a dataset directory",
    "diff": "how two dataset directories differ",
    "preview": "a contact sheet: a row a picture, a column a variant",
    "explain": "the operations and numbers drawn for one variant of one picture",
    "fetch": "a dataset from gs:// to a local directory, checked and resumable",
    "push": "a local dataset to gs://, checked and resumable",
    "synth": "a made-up set of faces with known expressions, to try everything on",
}

if __name__ == "__main__":
    cli.run("preprocess", __doc__ or "", COMMANDS)
