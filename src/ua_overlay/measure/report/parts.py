"""What a report is made of. Pure; the writers of HTML and PDF know nothing else."""
from dataclasses import dataclass
from typing import Any, Callable, Tuple, Union

from ua_overlay.protocols import JsonObject

#: A matplotlib Figure; the library is imported when the first one is drawn.
Figure = Any


@dataclass(frozen=True)
class Picture:
    """``name``: of its file."""

    name: str
    caption: str
    draw: Callable[[], Figure]


@dataclass(frozen=True)
class Table:
    """Text in rows; ``caption`` stands above."""

    caption: str
    headers: Tuple[str, ...]
    rows: Tuple[Tuple[str, ...], ...]


@dataclass(frozen=True)
class Packets:
    """A packet inside the tunnel beside the one that carried it. ``run``: one of `runs` of encryption.as_json."""

    run: JsonObject


#: A paragraph is a str.
Item = Union[str, Picture, Table, Packets]


@dataclass(frozen=True)
class Part:
    """A heading with what stands below it, in order."""

    title: str
    items: Tuple[Item, ...]
