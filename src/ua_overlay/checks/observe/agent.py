"""Observe the duties of this robot's root service."""
import os
from typing import Optional

from ua_overlay.defaults import AGENT
from ua_overlay.system import duties
from ua_overlay.tailscale.prepare import AGENT_NAME, AGENT_UNIT


def observe_agent(name: str = AGENT, user: int = 0, unit: str = AGENT_UNIT) -> Optional[duties.Daemon]:
    """Return the root service with its duties; None where there is none, and where it runs in another network
    namespace, as seen from a container.

    :param name: of its abstract socket; ``user``: whose it must be.
    :param unit: path of the unit that `robot prepare` writes: where it is, the service should run.
    """
    found = duties.read(name, user)
    if os.path.exists(unit) and (found is None or not found.pid):
        return duties.Daemon(0, AGENT_NAME, None)
    return found
