"""What a check says."""
from dataclasses import dataclass

OK = 'OK'
#: It cannot be observed from here, and saying "fine" would be a guess.
UNKNOWN = 'UNKNOWN'
WARN = 'WARN'
ERROR = 'ERROR'
#: From harmless to bad.
LEVELS = (OK, UNKNOWN, WARN, ERROR)


@dataclass(frozen=True)
class Verdict:
    """A judgement: ``what`` is seen, ``why`` it matters or where it comes from, and what to type next. No secret."""

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

    def sentence(self):
        """All of it in one line."""
        parts = [self.what, self.why, 'Next: ' + self.next_command if self.next_command else '']
        return ' '.join(part for part in parts if part)


def ok(what, why=''):
    return Verdict(OK, what, why)


def unknown(what, why='', next_command=''):
    return Verdict(UNKNOWN, what, why, next_command)


def warn(what, why='', next_command=''):
    return Verdict(WARN, what, why, next_command)


def error(what, why='', next_command=''):
    return Verdict(ERROR, what, why, next_command)


def worst(findings):
    """The worst level among ``findings``, OK when there is none."""
    return max((finding.level for finding in findings), key=LEVELS.index, default=OK)
