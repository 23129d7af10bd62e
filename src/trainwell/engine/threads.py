"""How many cores are ours, and how many threads a computation should use.

Small networks run faster on one thread than on two; convolutions use all cores. Two processes with
two threads each on two cores were measured 20 to 200 times slower than with one each, so the
number of threads never exceeds the cores that this process may really use.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

Shape = Sequence[int]
MANY = 3e8  # operations of one batch forward from which a second thread pays


def cores() -> int:
    """Cores this process may use: CPU affinity, and the limit of its control group.

    Of processes that torchrun has started together on this machine, each has its share.
    """
    ours = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            ours = min(ours, max(1, math.floor(int(quota) / int(period))))
    except (OSError, ValueError):
        pass  # no control group limit here
    return max(1, ours // int(os.environ.get("LOCAL_WORLD_SIZE") or 1))


@contextmanager
def same_threads() -> Iterator[None]:
    """Training chooses torch's threads; afterwards they are as the caller had them."""
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def threads_for(network: nn.Module, batch: int, shape: tuple[int, ...]) -> int:
    """How many threads one process should use to train this network.

    All cores for convolutions of MANY operations per batch; otherwise one, since threads would
    spend their time waiting for each other. The last bits of results depend on the number of
    threads, so it follows from the machine and the command alone, never from how busy the machine
    is at the moment; the run records it.
    """
    convolves = any(isinstance(m, nn.Conv2d) for m in network.modules())
    if not convolves or batch * operations(network, shape) < MANY:
        return 1
    return cores()


def describe_size(network: nn.Module, shape: tuple[int, ...]) -> tuple[int, float]:
    """Numbers that are trained, and operations of one example of `shape` through the network."""
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    return trained, operations(network, shape)


def operations(network: nn.Module, shape: tuple[int, ...]) -> float:
    """Floating-point operations of one example of `shape` through a network, forward."""
    from torch.utils.flop_counter import FlopCounterMode

    was_training = network.training
    aten = torch.ops.aten
    uncounted: dict[Any, Any] = {
        aten.mkldnn_rnn_layer: _recurrent,
        aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    }
    counter = FlopCounterMode(display=False, custom_mapping=uncounted)
    # Without gradients attention takes a kernel of its own, in which nothing is counted.
    with torch.enable_grad(), counter:
        network.eval()(torch.zeros((1, *shape)))
    network.train(was_training)
    return float(counter.get_total_flops())


def _recurrent(steps: Shape, inputs: Shape, outputs: Shape, *_: object, **__: object) -> int:
    """Operations of one layer of an LSTM: every weight acts once per step.

    Shapes: steps (T, B, D), and the weights (4 H, D) of inputs and (4 H, H) of outputs.
    """
    return 2 * math.prod(steps[:2]) * (math.prod(inputs) + math.prod(outputs))


def _attention(queries: Shape, keys: Shape, values: Shape, *_: object, **__: object) -> int:
    """Operations of attention: queries times keys, and what comes of it times values.

    Shapes: (B, H, S, D), (B, H, T, D), (B, H, T, D').
    """
    return 2 * math.prod(queries[:3]) * keys[2] * (keys[3] + values[3])
