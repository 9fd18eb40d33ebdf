"""Run several network queries in parallel, within a deadline."""
from typing import Callable, Dict, Hashable, Mapping, Optional, TypeVar

from ua_overlay.errors import OverlayError
from ua_overlay.rosenv.master import ERRORS
from ua_overlay.system.deadline import Calls

#: Exceptions of the network; any other is a bug of ours and is not hidden.
EXPECTED = ERRORS + (OverlayError,)

Key = TypeVar('Key', bound=Hashable)
Result = TypeVar('Result')


class Questions:
    """Runs queries; the result of a refused or late one is None."""

    def __init__(self) -> None:
        self._calls = Calls()

    def ask(self, functions: Mapping[Key, Callable[[], Result]], seconds: float) -> Dict[Key, Optional[Result]]:
        """Run all functions in parallel, and return the result of each.

        :param seconds: deadline for all of them together.
        """
        results: Dict[Key, Optional[Result]] = {}
        for key, (result, error) in self._calls.run(functions, seconds).items():
            if error is not None and not isinstance(error, EXPECTED):
                raise error
            results[key] = None if error is not None else result
        return results

    def ask_one(self, name: str, function: Callable[[], Result], seconds: float) -> Optional[Result]:
        """Return the result of one function."""
        return self.ask({name: function}, seconds)[name]
