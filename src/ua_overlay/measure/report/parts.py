"""What a report is made of, and numbers as people read them. Pure; the writers of HTML and PDF know these alone."""
from dataclasses import dataclass


@dataclass(frozen=True)
class Picture:
    """``name``: of its file; ``draw``: function without arguments -> matplotlib Figure."""

    name: str
    caption: str
    draw: object


@dataclass(frozen=True)
class Table:
    """Text in rows; ``caption`` stands above."""

    caption: str
    headers: tuple
    rows: tuple


@dataclass(frozen=True)
class Packets:
    """A packet inside the tunnel beside the one that carried it. ``run``: one of `runs` of encryption.as_json."""

    run: dict


@dataclass(frozen=True)
class Part:
    """A heading with paragraphs (str), Picture, Table and Packets in order."""

    title: str
    items: tuple


def shown(estimate, unit):
    """`5.9 [5.7, 6.1] %`."""
    if estimate is None:
        return '-'
    interval = '' if estimate.low is None else ' [{}, {}]'.format(text(estimate.low), text(estimate.high))
    return '{}{} {}'.format(text(estimate.value), interval, unit)


def text(value):
    """A value for people: three digits, no exponent."""
    if value is None or value == '':
        return '-'
    if isinstance(value, float):
        digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
        # Adding nothing makes 0.0 of -0.0.
        return '{:.{}f}'.format(round(value, digits) + 0.0, digits)
    return str(value)


def words(sentence, variant):
    return '{} ({})'.format(sentence, variant) if variant else sentence


def numbered(name, number):
    return name if not number else '{}-{}'.format(name, number + 1)
