"""Real logs and real loops of other tools: what the doctor reads of them, and watch inside them.

    python -m benchmarks.doctor.watch_peers keras     --out DIR    CSVLogger with , and ;
    python -m benchmarks.doctor.watch_peers keras-tb  --out DIR    needs TensorFlow
    python -m benchmarks.doctor.watch_peers lightning --out DIR    CSVLogger, watch in the trainer
    python -m benchmarks.doctor.watch_peers torch-tb  --out DIR    needs tensorboard
    python -m benchmarks.doctor.watch_peers fastai    --out DIR    CSVLogger
    python -m benchmarks.doctor.watch_peers skorch    --out DIR    history.json
    python -m benchmarks.doctor.watch_peers plain                  watch in a loop of PyTorch

Networks are small and train on the embedded digits for some epochs: seconds each. The files in
tests/doctor/files were written by it.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

EPOCHS = 6


def digits() -> list[Any]:
    """Training and validation inputs and labels."""
    x, y = load_digits(return_X_y=True)
    rows = (x / 16).astype(np.float32)
    return train_test_split(rows, y.astype(np.int64), test_size=0.3, random_state=0, stratify=y)


def keras_csv(out: Path) -> None:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras

    for separator, name in ((",", "keras.csv"), (";", "keras_semicolon.csv")):
        _keras(keras, [keras.callbacks.CSVLogger(str(out / name), separator=separator)])


def keras_tensorboard(out: Path) -> None:
    import keras

    _keras(keras, [keras.callbacks.TensorBoard(str(out / "keras_tb"), write_graph=False)])


def _keras(keras: Any, callbacks: list[Any]) -> None:
    keras.utils.set_random_seed(0)
    x, x_val, y, y_val = digits()
    layers = [keras.layers.Dense(32, activation="relu"), keras.layers.Dense(10)]
    model = keras.Sequential([keras.Input((64,)), *layers])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-2), loss=loss, metrics=["accuracy"])
    fit = {"validation_data": (x_val, y_val), "callbacks": callbacks, "verbose": 0}
    model.fit(x, y, batch_size=32, epochs=EPOCHS, **fit)


def lightning(out: Path) -> None:
    """Lightning's trainer with its loggers, and watch around `fit` (CSV; TensorBoard if there)."""
    import lightning as pl
    import torch
    from lightning.pytorch.callbacks import LearningRateMonitor
    from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
    from torch import nn
    from torch.nn import functional
    from torch.utils.data import DataLoader, TensorDataset

    from trainwell.doctor.watch import watch

    class Net(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
            self.loss = nn.CrossEntropyLoss()
            self.watch: Any = None

        def training_step(self, batch: Any, number: int) -> Any:
            logits = self.body(batch[0])
            loss = self.loss(logits, batch[1])
            accuracy = (logits.argmax(1) == batch[1]).float().mean()
            self.log("train_loss", loss, on_step=True, on_epoch=True)
            self.log("train_acc", accuracy, on_step=False, on_epoch=True)
            return loss

        def validation_step(self, batch: Any, number: int) -> None:
            logits = self.body(batch[0])
            self.log("val_loss", functional.cross_entropy(logits, batch[1]))
            self.log("val_acc", (logits.argmax(1) == batch[1]).float().mean())

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters(), lr=1e-2)

        def on_train_start(self) -> None:
            self.watch = watch(self, self.trainer.optimizers[0], self.loss, every=5).__enter__()

        def on_validation_epoch_end(self) -> None:
            seen = self.trainer.callback_metrics
            if self.watch is not None:
                self.watch.validation(float(seen["val_loss"]), float(seen["val_acc"]))

        def on_train_end(self) -> None:
            self.watch.__exit__(None, None, None)

    try:
        import tensorboard  # noqa: F401

        logger: Any = TensorBoardLogger(str(out), name="", version="lightning_tb")
    except ImportError:
        logger = CSVLogger(str(out), name="", version="lightning")
    pl.seed_everything(0, verbose=False)
    x, x_val, y, y_val = (torch.from_numpy(v) for v in digits())
    loaders = (
        DataLoader(TensorDataset(x, y), 32, shuffle=True),
        DataLoader(TensorDataset(x_val, y_val), 256),
    )
    model = Net()
    trainer = pl.Trainer(
        max_epochs=EPOCHS,
        logger=logger,
        callbacks=[LearningRateMonitor()],
        accelerator="cpu",
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=20,
    )
    trainer.fit(model, *loaders)
    _show(model.watch)


def torch_tensorboard(out: Path) -> None:
    """torch.utils.tensorboard's writer: scalars in both forms, a text and a histogram beside."""
    from torch.utils.tensorboard import SummaryWriter

    folder = out / "torch_tb"
    with SummaryWriter(str(folder)) as writer:
        for epoch in range(EPOCHS):
            writer.add_scalar("Loss/train", 2.0 / (epoch + 1), epoch)
            writer.add_scalar("Loss/val", 2.2 / (epoch + 1), epoch, new_style=True)
            writer.add_scalar("Accuracy/val", 1 - 0.5 / (epoch + 1), epoch, double_precision=True)
            writer.add_text("note", "a text", epoch)
            writer.add_histogram("weights", np.arange(10.0), epoch)


def fastai_csv(out: Path) -> None:
    import torch
    from fastai.basics import DataLoader, DataLoaders, Learner, accuracy
    from fastai.callback.progress import CSVLogger
    from torch import nn

    x, x_val, y, y_val = (torch.from_numpy(v) for v in digits())
    torch.manual_seed(0)
    data = DataLoaders(
        DataLoader(list(zip(x, y, strict=True)), bs=32, shuffle=True),
        DataLoader(list(zip(x_val, y_val, strict=True)), bs=256),
    )
    net = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    learner = Learner(data, net, loss_func=nn.CrossEntropyLoss(), metrics=accuracy, path=out)
    with learner.no_bar(), learner.no_logging():
        learner.fit(EPOCHS, 1e-2, cbs=CSVLogger(fname="fastai.csv"))
    shutil.rmtree(out / "models", ignore_errors=True)


def skorch_json(out: Path) -> None:
    import torch
    from skorch import NeuralNetClassifier
    from torch import nn

    x, _, y, _ = digits()
    torch.manual_seed(0)
    net = NeuralNetClassifier(
        nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)),
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=1e-2,
        max_epochs=EPOCHS,
        verbose=0,
    )
    net.fit(x, y)
    for row in net.history:
        row.pop("batches")
    net.history.to_file(str(out / "skorch.json"))


def plain(out: Path) -> None:
    """A loop by hand, with the one line more."""
    import torch
    from torch import nn

    from trainwell.doctor.watch import watch

    torch.manual_seed(0)
    x, x_val, y, y_val = (torch.from_numpy(v) for v in digits())
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    optimizer, loss = torch.optim.Adam(model.parameters(), lr=1e-2), nn.CrossEntropyLoss()
    with watch(model, optimizer, loss) as seen:
        for _ in range(EPOCHS):
            model.train()
            for rows in torch.randperm(len(x)).split(32):
                optimizer.zero_grad()
                loss(model(x[rows]), y[rows]).backward()
                optimizer.step()
            model.eval()
            with torch.no_grad():
                loss(model(x_val), y_val)
    _show(seen)


def _show(seen: Any) -> None:
    from trainwell.doctor.foreign import what_is_known

    print(what_is_known(seen.evidence()))
    for check in seen.evidence().checks:
        print(f"{check.level:8} {check.code} {check.name}: {check.words}")


PARTS = {
    "keras": keras_csv,
    "keras-tb": keras_tensorboard,
    "lightning": lightning,
    "torch-tb": torch_tensorboard,
    "fastai": fastai_csv,
    "skorch": skorch_json,
    "plain": plain,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=[*PARTS])
    parser.add_argument("--out", type=Path, default=Path("peer-logs"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    PARTS[args.part](args.out)


if __name__ == "__main__":
    main()
