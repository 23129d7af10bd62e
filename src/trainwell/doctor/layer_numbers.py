"""Layers by number instead of by the name of their module, which tells nobody where they are."""

from __future__ import annotations

from collections.abc import Iterable


def numbered(names: Iterable[str]) -> dict[str, str]:
    """Names in the order of the network as "1 of 3", "2 of 3", ...; each name once.

    >>> numbered(["0", "3", "7"])
    {'0': '1 of 3', '3': '2 of 3', '7': '3 of 3'}
    """
    found = list(dict.fromkeys(names))
    return {name: f"{place} of {len(found)}" for place, name in enumerate(found, start=1)}


def place_of(name: str, names: Iterable[str]) -> str:
    """The number of a layer, with its name where that is more than numbers.

    >>> place_of("3", ["0", "3"]), place_of("body.relu", ["stem", "body.relu"])
    ('2 of 2', '2 of 2 (body.relu)')
    """
    place = numbered(names)[name]
    return place if name.replace(".", "").isdigit() else f"{place} ({name})"


def layer_words(layers: Iterable[tuple[str, bool]]) -> dict[str, str]:
    """Each layer in words: layers with weights and layers of units are numbered by themselves.

    layers: name, and whether it has weights, in the order of the network. Units of layer k are what
    the activation behind the k-th weight layer makes, in networks that are such a sequence.

    >>> layer_words([("0", True), ("3", True), ("2", False)])
    {'0': 'layer 1 of 2', '3': 'layer 2 of 2', '2': 'units 1 of 1'}
    """
    every = list(layers)
    weights = numbered(name for name, has_weights in every if has_weights)
    units = numbered(name for name, _ in every if name not in weights)
    return {n: f"layer {w}" for n, w in weights.items()} | {
        n: f"units {w}" for n, w in units.items()
    }
