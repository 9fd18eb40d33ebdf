"""Protocols that several rooms share, for collaborators that are passed in, so that decisions stay pure and tests need
no mock."""
import datetime
import subprocess
from typing import Any, Callable, ContextManager, Dict, Mapping, Optional, Protocol, Sequence

#: Monotonic seconds.
Clock = Callable[[], float]
#: Seconds since 1970.
WallClock = Callable[[], float]
#: This machine's time: an aware datetime in UTC.
UtcClock = Callable[[], datetime.datetime]
#: Path of a program, by its name; may build it first.
Locate = Callable[[str], str]
#: A result of json.loads, not yet validated.
Json = Any
JsonObject = Dict[str, Any]
Argv = Sequence[str]
Environ = Mapping[str, str]
#: Text -> a context manager that shows it as a step in progress while it is entered (cli.shared.progress.Progress).
Progress = Callable[[str], ContextManager[object]]


class Say(Protocol):
    """An output sink: takes one line for a person, without its line end."""

    def __call__(self, __line: str) -> None:
        ...


#: Takes the result of each round of a loop: '' if it went well, else the sentence that says why it failed.
OnRound = Callable[[str], None]


class Stop(Protocol):
    """Ends a loop: a threading.Event, or a fake whose ``wait`` takes no time."""

    def is_set(self) -> bool:
        ...

    def wait(self, timeout: Optional[float] = None) -> bool:
        """Wait for at most ``timeout`` seconds; return whether to end the loop."""
        ...


class CommandHost(Protocol):
    """A host that runs commands: this machine, one over ssh, or one of a lab."""

    @property
    def name(self) -> str:
        ...

    def popen(self, argv: Argv, **options: Any) -> 'subprocess.Popen[str]':
        """Start ``argv`` there, with the options of subprocess.Popen; the status of the process is the program's."""
        ...
