"""The findings of checks. Pure."""
from dataclasses import dataclass
from typing import Iterable, List, Union

OK = 'OK'
#: Not observable from this robot, so neither good nor bad.
UNKNOWN = 'UNKNOWN'
WARN = 'WARN'
ERROR = 'ERROR'
#: From harmless to bad.
LEVELS = (OK, UNKNOWN, WARN, ERROR)


@dataclass(frozen=True)
class Verdict:
    """A judgement: ``what`` is the case, ``why`` it matters or its cause, and the command to type next. No secret."""

    level: str
    what: str
    why: str = ''
    next_command: str = ''


@dataclass(frozen=True)
class Finding:
    """A Verdict with the stable id of the check that gave it."""

    id: str
    level: str
    what: str
    why: str = ''
    next_command: str = ''

    def sentence(self) -> str:
        """Return the finding as one line."""
        parts = [self.what, self.why, 'Next: ' + self.next_command if self.next_command else '']
        return ' '.join(part for part in parts if part)


#: The return value of a check: None when it does not apply, or when nothing was observed.
Verdicts = Union[Verdict, List[Verdict], None]


def ok(what: str, why: str = '') -> Verdict:
    return Verdict(OK, what, why)


def unknown(what: str, why: str = '', next_command: str = '') -> Verdict:
    return Verdict(UNKNOWN, what, why, next_command)


def warn(what: str, why: str = '', next_command: str = '') -> Verdict:
    return Verdict(WARN, what, why, next_command)


def error(what: str, why: str = '', next_command: str = '') -> Verdict:
    return Verdict(ERROR, what, why, next_command)


def worst(findings: Iterable[Finding]) -> str:
    """Return the worst level among ``findings``, OK when there is none."""
    return max((finding.level for finding in findings), key=LEVELS.index, default=OK)


def listed(items: Iterable[str], shown: int = 4) -> str:
    """Return 'a, b, c, d and 3 more'."""
    names = list(items)
    rest = len(names) - shown
    return ', '.join(names[:shown]) + (' and {} more'.format(rest) if rest > 0 else '')
