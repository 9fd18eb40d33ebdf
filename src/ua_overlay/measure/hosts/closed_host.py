"""A host on which the campaign cannot start programs."""
import subprocess
from typing import Any

from ua_overlay.measure.hosts.host import Graph, Host
from ua_overlay.measure.hosts.process import HostLost, program_of
from ua_overlay.protocols import Argv


class ClosedHost(Host):
    """A host with `ssh: none`: a tool can use only the services that already listen there.

    Its counters cannot be read, and the campaign must give its name or address in the overlay.
    """

    def popen(self, argv: Argv, ros: Graph = False, **options: Any) -> 'subprocess.Popen[str]':
        """:raises HostLost: always."""
        raise HostLost('{} cannot be started on {}: the campaign gives no way into it (ssh: none).'.format(
            program_of(argv), self.name), 'server: running, in the tool')
