"""What a rule would have needed, in words for somebody who has not written the rules."""

from __future__ import annotations

from collections.abc import Sequence

# What was not measured or run, by the name of the need
NEEDS = {
    "a training": "a training that was written down",
    "train_loss": "the training loss",
    "val_loss": "the validation loss",
    "train_accuracy": "the training accuracy",
    "val_accuracy": "the validation accuracy",
    "lr": "the learning rate of each epoch",
    "classes": "the number of classes",
    "confusion": "which held-out rows were taken for which class",
    "diverged": "a note on which trainings diverged",
    "reference": "what a simple model reaches on held-out rows",
    "ladder": "a search for the learning rate",
    "race": "trainings side by side",
    "gradient": "the gradients of each layer",
    "weight": "the weights of each layer",
    "update": "the size of each layer's updates",
    "spread": "the spread of each layer's outputs",
    "mean": "the mean of each layer's outputs",
    "dead": "units that can fall silent, as ReLU's do",
    "saturated": "units with ends to their range, as sigmoid and tanh have",
    "race:no augmentation": "a training without augmentation beside it",
    "race:regularisation off": "a training without regularisation beside it",
    "race:wider": "a wider network trained beside it",
    "race:deeper": "a deeper network trained beside it",
    "race:longer": "a longer training beside it",
    "setup.depth": "the depth of the network",
    "setup.momentum": "the optimiser's momentum",
    "setup.eps": "the optimiser's eps",
    "setup.dropout": "the dropout rate",
    "setup.l2": "the strength of L2",
}


def missing_words(missing: Sequence[str]) -> str:
    """Needs in words; "a|b" is one of them.

    >>> missing_words(["saturated"])
    'To see it would take units with ends to their range, as sigmoid and tanh have'
    >>> missing_words(["train_loss|val_loss", "classes"])
    'To see it would take the training loss or the validation loss, and the number of classes'
    """
    told = [" or ".join(NEEDS.get(n, n) for n in need.split("|")) for need in missing]
    return "To see it would take " + ", and ".join(told)
