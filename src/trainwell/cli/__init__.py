"""The command line: a module for each group of verbs, app.py brings them together."""

from trainwell.cli.app import app, main

__all__ = ["app", "main"]
