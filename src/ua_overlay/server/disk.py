"""The disks of a site: which of them is full, and which logs lose lines."""
from typing import Dict, Iterable, List

from ua_overlay.advice import command
from ua_overlay.errors import OverlayError
from ua_overlay.site.site import Site
from ua_overlay.system import file_system


def problems(site: Site, log_problems: Iterable[str] = ()) -> List[OverlayError]:
    """Return a warning for each file system of the site that is full or nearly so, and for each log that loses lines.

    :param log_problems: of the running server's report.
    """
    found: Dict[str, OverlayError] = {}
    for folder in (site.directory, site.path('headscale'), site.path('log')):
        try:
            shortage = file_system.shortage(folder)
        except OSError:
            continue  # the directory is missing, which every other command reports
        if shortage is not None:
            found.setdefault(shortage.sentence, shortage)
    return list(found.values()) + [
        OverlayError(str(sentence) + ' Its lines are dropped.', command('ls -ld {}', site.path('log')))
        for sentence in log_problems]
