"""Parse version numbers in the output of programs. Pure."""
import re
from typing import Optional, Tuple

_NUMBERS = re.compile(r'(\d{1,9})\.(\d{1,9})(?:\.(\d{1,9}))?', re.ASCII)


def parse_version(text: Optional[str]) -> Optional[Tuple[int, int, int]]:
    """Return the first dotted number in ``text`` as (major, minor, patch), None without one.

    The surrounding text does not matter: '1.98.10-ERR-BuildInfo' (a build without version control information),
    '1.80.2-t1234-g5678', 'go version go1.26.6 linux/amd64'.
    """
    match = _NUMBERS.search(text or '')
    return None if match is None else (int(match.group(1)), int(match.group(2)), int(match.group(3) or 0))
