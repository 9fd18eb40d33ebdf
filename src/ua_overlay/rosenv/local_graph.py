"""Find the local graph: that of the overlay node of this machine, wherever its master listens."""
import os
import re

from ua_overlay import defaults
from ua_overlay.errors import OverlayError
from ua_overlay.protocols import Environ
from ua_overlay.rosenv import envfile
from ua_overlay.system import instance

#: Name of the overlay node's lock and record in the run directory (system.instance).
NODE = 'node'
_LOOPBACK = re.compile(r'http://(localhost|127\.[0-9.]+):[0-9]{1,5}/?\Z')


def local_master_uri(environ: Environ = os.environ) -> str:
    """Return the URI of the local graph's master.

    A node that runs says which one that is: the boot service has a master of its own, and joins the robot's where it is
    told to. Without a node it is ROS's default. Another machine's master is no local graph.
    """
    try:
        directory = envfile.locate(environ).directory
    except OverlayError:
        return defaults.LOCAL_MASTER_URI
    holder = instance.read_holder(directory, NODE)
    if holder is None or not _LOOPBACK.match(holder.graph):
        return defaults.LOCAL_MASTER_URI
    return holder.graph.rstrip('/')
