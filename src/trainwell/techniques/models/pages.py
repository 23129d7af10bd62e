"""The pages of norms and activations: choices that are words, options of the models.

What they compute stands in `layers.py`.
"""

from __future__ import annotations

NORMS: dict[str, str] = {
    "batch": """\
Batch norm before each non-linearity: the lecture's place for it, and the default.

Equation: x̂ = (x - μ) / √(σ² + ε), y = γ x̂ + β; μ and σ² (biased) of each unit, or each channel of a
convolution, over the mini-batch; γ and β are learned. For predictions running means of μ and of the
unbiased σ² take their place (new = 0.9 old + 0.1 batch; ε = 1e-5). Higher rates work, initial
weights matter less, training needs fewer steps. Wants batches of 16 or more, in random order.
Source: slide "Batch normalization"; Ioffe and Szegedy 2015.""",
    "batch_after": """\
Batch norm behind each non-linearity, for comparison with the lecture's order.

The same equation on the outputs of the units. Often as good, in single published runs better; less
tolerant of very high rates. Source: slide "Batch normalization"; Ioffe and Szegedy 2015.""",
    "layer": """\
Layer norm before each non-linearity: over the units of one example instead of over the batch.

Equation: x̂ = (x - μ) / √(σ² + ε), y = γ x̂ + β; μ and σ² of one example over all units (of a
convolution: over all channels and places). The same in training and prediction, for any batch size
and order of the rows. For small batches. Source: slide "Batch normalization"; Ba et al. 2016.""",
    "none": """\
No norm: what the initial weights do is what the network sees.

For small networks, for second-order rules, and for seeing what batch norm is for.
Source: slide "Batch normalization".""",
}

ACTIVATIONS: dict[str, str] = {
    "relu": """\
max(0, x): cheap, does not saturate upwards; the default.

A unit whose inputs are negative for every row is dead: it has no gradient. High rates kill, the
initial weights hardly do. Source: slide "Activation and loss function"; Nair and Hinton 2010.""",
    "leaky_relu": """\
x, or 0.01 x where x is negative: a ReLU that cannot die.

Like ReLU at usual rates, better at rates that kill units.
Source: slide "Activation and loss function"; Maas et al. 2013.""",
    "elu": """\
x, or e^x - 1 where x is negative: smooth, mean outputs nearer to zero.

Source: slide "Activation and loss function"; Clevert et al. 2016.""",
    "selu": """\
1.0507 x, or 1.7581 (e^x - 1) where x is negative: keeps mean 0 and variance 1 in deep networks.

Made to do without batch norm. Source: slide "Activation and loss function"; Klambauer et al.
2017.""",
    "gelu": """\
x Φ(x), Φ the normal distribution: a smooth ReLU.

Source: slide "Activation and loss function"; Hendrycks and Gimpel 2016.""",
    "silu": """\
x / (1 + e^-x), also called swish: a smooth ReLU with a dip.

Source: slide "Activation and loss function"; Ramachandran et al. 2017.""",
    "mish": """\
x tanh(log(1 + e^x)): a smooth ReLU with a dip, close to silu.

Source: slide "Activation and loss function"; Misra 2019.""",
    "softplus": """\
log(1 + e^x): the smooth curve above ReLU, never zero.

Source: slide "Activation and loss function"; Dugas et al. 2001.""",
    "sigmoid": """\
1 / (1 + e^-x), from 0 to 1: saturates at both ends, where its gradient vanishes.

ReLU is preferred: six sigmoid layers without batch norm hardly train. For comparisons.
Source: slide "Activation and loss function"; CS231n notes, part 1.""",
    "tanh": """\
(e^x - e^-x) / (e^x + e^-x), from -1 to 1: a sigmoid around zero, saturates at both ends.

Trains better than sigmoid, with Xavier weights also in deeper networks.
Source: slide "Activation and loss function"; CS231n notes, part 1.""",
}
