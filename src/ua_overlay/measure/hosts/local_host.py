"""The machine that runs the campaign."""
import subprocess
from typing import Any

from ua_overlay.measure.hosts.host import Graph, Host
from ua_overlay.protocols import Argv


class LocalHost(Host):
    """This machine."""

    def popen(self, argv: Argv, ros: Graph = False, **options: Any) -> 'subprocess.Popen[str]':
        return subprocess.Popen(self.ros_argv(argv, ros), **options)
