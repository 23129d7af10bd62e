"""The peers on the table: folds × seeds of one MLP, each with its best practical settings.

All that are fed batches get them whole from resident tensors (plain.Batches), which spares them
loaders that collect a batch example by example. None of them validates during
training; trainwell does.
"""

from __future__ import annotations

import importlib.metadata
import logging
import os
import time
from functools import partial
from typing import Any

import numpy as np

from benchmarks.tasks import (
    Clock,
    Floats,
    Ints,
    Outcome,
    Task,
    fold_rows,
    peak_mb,
    standardised,
    warm_up,
)


def versions(*packages: str) -> dict[str, str]:
    return {p: importlib.metadata.version(p) for p in packages}


def each_training(
    train: Any, task: Task, x: Any, y: Ints, seed: int, few: int | None
) -> list[float]:
    """Call train(inputs, labels, validation inputs, labels, seed) for all trainings, or `few`."""
    found: list[float] = []
    for number in range(task.seeds):
        for rows, validation in fold_rows(task, y):
            if few is not None and len(found) == few:
                return found
            inputs = standardised(x, rows)
            parts = inputs[rows], y[rows], inputs[validation], y[validation]
            found.append(train(*parts, seed + 100 * len(found) + number))
    return found


def timed(
    train: Any, task: Task, x: Any, y: Ints, seed: int, few: int | None, *packages: str
) -> Outcome:
    """Warm up, train, scale the seconds up to all trainings of the task."""
    small, few_x, few_y = warm_up(task, x, y)
    each_training(partial(train, small), small, few_x, few_y, seed, 1)
    clock = Clock()
    found = each_training(partial(train, task), task, x, y, seed, few)
    seconds = clock.seconds * task.trainings / len(found)
    return Outcome(seconds, found, len(found), versions=versions(*packages))


# scikit-learn -------------------------------------------------------------------------------------


def _memory() -> tuple[int, float]:
    time.sleep(0.05)  # long enough for every worker to get one of these
    return os.getpid(), peak_mb()


def sklearn(
    task: Task, x: Any, y: Ints, seed: int, few: int | None = None, jobs: int = 1
) -> Outcome:
    """cross_val_score of a pipeline, once per seed; float32 as the others; no L2, no early end."""
    from joblib import Parallel, delayed
    from sklearn.model_selection import cross_val_score
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def train(task: Task, x: Any, y: Ints) -> list[float]:
        scores: list[float] = []
        for number in range(task.seeds):
            network = MLPClassifier(
                task.hidden,
                alpha=0.0,
                batch_size=task.batch,
                learning_rate_init=task.lr,
                max_iter=task.epochs,
                n_iter_no_change=task.epochs + 1,
                random_state=seed + number,
            )
            model = make_pipeline(StandardScaler(), network)
            scores += list(cross_val_score(model, x, y, cv=fold_rows(task, y), n_jobs=jobs))
        return scores

    x = x.astype(np.float32)
    train(*warm_up(task, x, y))
    clock = Clock()
    found = train(task, x, y)
    seconds, peak = clock.seconds, 0.0
    if jobs > 1:
        peak = peak_mb() + sum(dict(Parallel(jobs)(delayed(_memory)() for _ in range(20))).values())
    return Outcome(seconds, found, len(found), peak, versions("scikit-learn"))


sklearn_two = partial(sklearn, jobs=2)


# skorch -------------------------------------------------------------------------------------------


def skorch(task: Task, x: Any, y: Ints, seed: int, few: int | None = None) -> Outcome:
    """callbacks="disable" also removes the scorers; no validation split; nothing printed."""
    import torch
    from skorch import NeuralNetClassifier
    from torch import nn

    from benchmarks.plain import Batches, mlp

    torch.set_num_threads(1)

    def loader(dataset: Any, batch_size: int, **_: Any) -> Any:
        if not net_is_training[0]:
            return torch.utils.data.DataLoader(dataset, batch_size=batch_size)
        return Batches(torch.from_numpy(dataset.X), torch.from_numpy(dataset.y), batch_size)

    net_is_training = [True]

    def train(task: Task, x: Floats, y: Ints, vx: Floats, vy: Ints, seed: int) -> float:
        torch.manual_seed(seed)
        net = NeuralNetClassifier(
            partial(mlp, x.shape[1], task),
            criterion=nn.CrossEntropyLoss,
            optimizer=torch.optim.Adam,
            optimizer__fused=True,
            lr=task.lr,
            max_epochs=task.epochs,
            batch_size=task.batch,
            train_split=None,
            iterator_train=loader,
            callbacks="disable",
            verbose=0,
        )
        net.fit(x, y)
        net.set_params(batch_size=2048)
        return float((net.predict(vx) == vy).mean())

    return timed(train, task, x, y, seed, few, "skorch", "torch")


# Lightning ----------------------------------------------------------------------------------------


def lightning_module(network: Any, task: Task, marks: Any = None) -> Any:
    """A module with nothing but the step and the optimiser; `marks` are called after epochs."""
    import lightning
    from torch.nn import functional

    from benchmarks.plain import adam

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def training_step(self, batch: Any, number: int) -> Any:
            return functional.cross_entropy(self.network(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            return adam(task)(self.parameters())

        def on_train_epoch_end(self) -> None:
            if marks is not None:
                marks()

    return Module()


def lightning_trainer(epochs: int) -> Any:
    """barebones switches logger, checkpoints, bar, summary and sanity checks off."""
    import lightning

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("lightning").setLevel(logging.ERROR)
    return lightning.Trainer(max_epochs=epochs, accelerator="cpu", devices=1, barebones=True)


def lightning(task: Task, x: Any, y: Ints, seed: int, few: int | None = None) -> Outcome:
    import torch

    from benchmarks.plain import Batches, accuracy, mlp

    torch.set_num_threads(1)

    def train(task: Task, x: Floats, y: Ints, vx: Floats, vy: Ints, seed: int) -> float:
        torch.manual_seed(seed)
        network = mlp(x.shape[1], task)
        module = lightning_module(network, task)
        lightning_trainer(task.epochs).fit(
            module, Batches(torch.from_numpy(x), torch.from_numpy(y), task.batch)
        )
        return accuracy(network, torch.from_numpy(vx), torch.from_numpy(vy))

    return timed(train, task, x, y, seed, few, "lightning", "torch")


# fastai -------------------------------------------------------------------------------------------


def fastai_fit(network: Any, task: Task, x: Any, y: Any, marks: Any = None) -> None:
    """A Learner without recorder and validation; torch's fused Adam instead of its own.

    The progress bar is not even loaded: fastai.learner alone does not add it.
    """
    import torch
    from fastai.callback.core import Callback, CancelValidException
    from fastai.data.core import DataLoaders
    from fastai.data.load import DataLoader
    from fastai.learner import Learner, Recorder
    from fastai.optimizer import OptimWrapper
    from torch.nn import functional

    class Whole(DataLoader):
        def do_item(self, s: Any) -> Any:
            return s

        def create_batch(self, b: Any) -> Any:
            rows = torch.as_tensor(b)
            return x[rows], y[rows]

    class NoValidation(Callback):
        def before_validate(self) -> None:
            raise CancelValidException

        def after_train(self) -> None:
            if marks is not None:
                marks()

    data = Whole(list(range(len(y))), bs=task.batch, shuffle=True, drop_last=True, num_workers=0)
    learner = Learner(
        DataLoaders(data, data, device=torch.device("cpu")),
        network,
        loss_func=functional.cross_entropy,
        opt_func=partial(OptimWrapper, opt=partial(torch.optim.Adam, fused=True)),
        lr=task.lr,
        cbs=NoValidation(),
    )
    learner.remove_cb(Recorder)
    learner.fit(task.epochs, task.lr)


def fastai(task: Task, x: Any, y: Ints, seed: int, few: int | None = None) -> Outcome:
    import torch

    from benchmarks.plain import accuracy, mlp

    torch.set_num_threads(1)

    def train(task: Task, x: Floats, y: Ints, vx: Floats, vy: Ints, seed: int) -> float:
        torch.manual_seed(seed)
        network = mlp(x.shape[1], task)
        fastai_fit(network, task, torch.from_numpy(x), torch.from_numpy(y))
        return accuracy(network, torch.from_numpy(vx), torch.from_numpy(vy))

    return timed(train, task, x, y, seed, few, "fastai", "torch")


# Keras --------------------------------------------------------------------------------------------


def keras_compile(model: Any, task: Task) -> None:
    """Compiled by XLA with JAX; torch's compiler needs a C++ compiler, so there it is off.

    Several steps per execution save calls of callbacks; with torch Keras allows only one.
    """
    import keras

    jax = keras.backend.backend() == "jax"
    model.compile(
        optimizer=keras.optimizers.Adam(task.lr, epsilon=1e-8),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=jax,
        steps_per_execution=20 if jax else 1,
    )


def keras(task: Task, x: Any, y: Ints, seed: int, few: int | None = None) -> Outcome:
    """The backend is chosen by the environment. Whole batches, so that nothing compiles twice."""
    import keras

    backend = keras.backend.backend()
    if backend == "torch":
        import torch

        torch.set_num_threads(1)
    layers = keras.layers

    def train(task: Task, x: Floats, y: Ints, vx: Floats, vy: Ints, seed: int) -> float:
        keras.utils.set_random_seed(seed)
        hidden = [
            layers.Dense(width, activation="relu", kernel_initializer="he_normal")
            for width in task.hidden
        ]
        last = layers.Dense(task.classes, kernel_initializer="he_normal")
        model = keras.Sequential([keras.Input((x.shape[1],)), *hidden, last])
        keras_compile(model, task)
        whole = np.random.default_rng(seed).permutation(len(y))[: len(y) // task.batch * task.batch]
        model.fit(x[whole], y[whole], batch_size=task.batch, epochs=task.epochs, verbose=0)
        logits = model.predict(vx, batch_size=len(vx), verbose=0)
        return float((logits.argmax(1) == vy).mean())

    return timed(train, task, x, y, seed, few, "keras", backend)


# pytabkit -----------------------------------------------------------------------------------------


def pytabkit(task: Task, x: Any, y: Ints, seed: int, few: int | None = None) -> Outcome:
    """RealMLP's vectorised engine with its extras off: all folds × seeds in one fit.

    What is left to differ: it scores its validation rows after each epoch and keeps the best epoch
    (as trainwell does), and reports that one; the inputs come standardised over all rows, which
    saves it the scaling in every batch.
    """
    from pytabkit import RealMLP_TD_Classifier

    def train(task: Task, x: Any, y: Ints) -> list[float]:
        x = standardised(x, np.arange(len(y)))
        validation = np.stack([v for _, v in fold_rows(task, y)] * task.seeds)
        model = RealMLP_TD_Classifier(
            device="cpu",
            random_state=seed,
            n_cv=len(validation),
            n_threads=1,
            n_epochs=task.epochs,
            batch_size=task.batch,
            predict_batch_size=len(validation[0]),
            hidden_sizes=list(task.hidden),
            tfms=[],
            num_emb_type="none",
            act="relu",
            use_parametric_act=False,
            weight_param="standard",
            weight_init_mode="normal",
            weight_init_gain=2**0.5,
            bias_init_mode="zeros",
            bias_lr_factor=1.0,
            add_front_scale=False,
            block_str="w-b-a",
            p_drop=0.0,
            wd=0.0,
            opt="adam",
            lr=task.lr,
            lr_sched="constant",
            mom=0.9,
            sq_mom=0.999,
            opt_eps=1e-8,
            use_ls=False,
        )
        model.fit(x, y, val_idxs=validation)
        errors = model.cv_alg_interface_.model.best_val_errors["class_error"][0]
        return [1 - float(e) for e in errors]

    train(*warm_up(task, x, y))
    clock = Clock()
    found = train(task, x, y)
    return Outcome(clock.seconds, found, len(found), versions=versions("pytabkit", "torch"))
