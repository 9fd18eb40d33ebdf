"""The errors that a person reads: one sentence that names the thing, and the next command."""
from dataclasses import dataclass


class OverlayError(Exception):
    """Something that the user can act on.

    :param sentence: what is wrong, naming the file, host or robot; no secret, no traceback.
    :param next_command: what to type next, or an empty string.
    :param code: a short upper-case word for programs (`NOT_PREPARED`), as in the .srv files where there is one.
    """

    code = 'ERROR'
    exit_status = 1

    def __init__(self, sentence, next_command='', code=None):
        super().__init__(sentence)
        self.sentence = sentence
        self.next_command = next_command
        if code is not None:
            self.code = code

    def __str__(self):
        if self.next_command:
            return '{} Next: {}'.format(self.sentence, self.next_command)
        return self.sentence

    def problem(self) -> 'Problem':
        """Return the error as a value that can be kept and compared."""
        return Problem(self.code, self.sentence, self.next_command)


class UsageError(OverlayError):
    """The command line or a configuration file asks for something that makes no sense."""

    code = 'USAGE'
    exit_status = 2


@dataclass(frozen=True)
class Problem:
    """What an OverlayError said, as a value that can be kept and compared."""

    code: str
    sentence: str
    next_command: str = ''

    def __str__(self):
        return '{} Next: {}'.format(self.sentence, self.next_command) if self.next_command else self.sentence
