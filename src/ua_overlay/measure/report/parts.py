"""The building blocks of a report, which the writers of HTML and PDF render. Pure."""
from dataclasses import dataclass
from typing import Any, Callable, Tuple, Union

from ua_overlay.protocols import JsonObject

#: A matplotlib Figure; the library is imported when the first one is drawn.
Figure = Any


@dataclass(frozen=True)
class Picture:
    """A figure and its caption. ``name``: of its file."""

    name: str
    caption: str
    draw: Callable[[], Figure]


@dataclass(frozen=True)
class Table:
    """Text in rows, below its ``caption``."""

    caption: str
    headers: Tuple[str, ...]
    rows: Tuple[Tuple[str, ...], ...]


@dataclass(frozen=True)
class Packets:
    """A packet inside the tunnel beside the packet that carried it. ``run``: one of `runs` of encryption.as_json."""

    run: JsonObject


#: A paragraph is a str.
Item = Union[str, Picture, Table, Packets]


@dataclass(frozen=True)
class Part:
    """A heading and the items below it, in order."""

    title: str
    items: Tuple[Item, ...]
