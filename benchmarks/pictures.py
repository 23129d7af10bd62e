"""The peers on pictures: two epochs of a small CNN, whole batches, two threads for all."""

from __future__ import annotations

from typing import Any

from benchmarks.letter import (
    fastai_fit,
    keras_compile,
    lightning_module,
    lightning_trainer,
    versions,
)
from benchmarks.tasks import CHANNELS, Clock, Ints, Outcome, Task, fold_rows, standardised


def _tensors(task: Task, x: Any, y: Ints) -> Any:
    """Inputs channels last (the faster layout on a CPU) and labels: training, then test."""
    import torch

    torch.set_num_threads(2)
    train, test = fold_rows(task, y)[0]
    inputs = torch.from_numpy(standardised(x, train)).contiguous(memory_format=torch.channels_last)
    labels = torch.from_numpy(y)
    return inputs[: len(train)], labels[: len(train)], inputs[test], labels[test]


def lightning(task: Task, x: Any, y: Ints, seed: int, few: int | None = None) -> Outcome:
    import torch

    from benchmarks.plain import Batches, accuracy, cnn

    inputs, labels, test, truth = _tensors(task, x, y)
    torch.manual_seed(seed)
    network = cnn(task)
    trainer = lightning_trainer(task.epochs)
    clock = Clock()
    module = lightning_module(network, task, clock.mark)
    trainer.fit(module, Batches(inputs, labels, task.batch))
    seconds, found = clock.seconds, accuracy(network, test, truth)
    return Outcome(seconds, [found], 1, 0.0, versions("lightning", "torch"), clock.epochs())


def fastai(task: Task, x: Any, y: Ints, seed: int, few: int | None = None) -> Outcome:
    import fastai.learner
    import torch

    from benchmarks.plain import accuracy, cnn

    assert fastai.learner  # imported before the clock starts
    inputs, labels, test, truth = _tensors(task, x, y)
    torch.manual_seed(seed)
    network = cnn(task)
    clock = Clock()
    fastai_fit(network, task, inputs, labels, clock.mark)
    seconds, found = clock.seconds, accuracy(network, test, truth)
    return Outcome(seconds, [found], 1, 0.0, versions("fastai", "torch"), clock.epochs())


def keras(task: Task, x: Any, y: Ints, seed: int, few: int | None = None) -> Outcome:
    """Each backend in the layout that was faster with it."""
    import keras

    backend = keras.backend.backend()
    if backend == "torch":
        import torch

        torch.set_num_threads(2)
    keras.config.set_image_data_format("channels_first" if backend == "torch" else "channels_last")
    layers = keras.layers
    train, test = fold_rows(task, y)[0]
    inputs = standardised(x, train)
    if backend != "torch":
        inputs = inputs.reshape(len(y), *x.shape[2:], 1)
    axis = 1 if backend == "torch" else -1
    keras.utils.set_random_seed(seed)
    stack: list[Any] = [keras.Input(inputs.shape[1:])]
    for stage, channels in enumerate(CHANNELS):
        stack += [layers.MaxPooling2D(2)] if stage else []
        stack += [
            layers.Conv2D(
                channels, 3, padding="same", use_bias=False, kernel_initializer="he_normal"
            ),
            layers.BatchNormalization(axis=axis, momentum=0.9, epsilon=1e-5),
            layers.ReLU(),
        ]
    last = layers.Dense(task.classes, kernel_initializer="he_normal")
    model = keras.Sequential([*stack, layers.GlobalAveragePooling2D(), last])
    keras_compile(model, task)

    class Marks(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            clock.mark()

    x_train, y_train = inputs[: len(train)], y[train]
    callbacks = [Marks()]
    clock = Clock()
    model.fit(
        x_train, y_train, batch_size=task.batch, epochs=task.epochs, verbose=0, callbacks=callbacks
    )
    seconds = clock.seconds
    logits = model.predict(inputs[test], batch_size=2000, verbose=0)
    found = float((logits.argmax(1) == y[test]).mean())
    return Outcome(seconds, [found], 1, 0.0, versions("keras", backend), clock.epochs())
