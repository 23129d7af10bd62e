"""trainwell: train neural-network classifiers on your own data, and see why the result is good."""

__version__ = "0.1.0"
