"""Experiments that are no comparison of trained arms: one module each, with `run(setup)`."""
