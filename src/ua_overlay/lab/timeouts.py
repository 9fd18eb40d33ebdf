"""Time limits of labs. Each is multiplied by one factor.

They are limits, not pauses: a wait ends as soon as its condition holds. On a slow machine, set UA_OVERLAY_TIME_SCALE=2.
"""
import os

#: Factor for every wait of a lab.
SCALE = float(os.environ.get('UA_OVERLAY_TIME_SCALE', '1'))

# Seconds before scaling.
#: A program that runs answers.
ANSWER = 10
#: A daemon, a server or a ROS node starts.
START = 30
#: A robot registers, is online, and appears among the peers of the others.
JOIN = 60
#: Names, env file, roscore and nodes follow a change.
GRAPH = 90
#: tailscaled finds a path by itself. It looks for a relay at most every 30 s and for a direct path every 60 s
#: (tailscale 1.98, wgengine/magicsock: discoverUDPRelayPathsInterval, upgradeUDPDirectInterval), and a try may fail.
PATH = 180
#: A machine boots, or shuts down.
BOOT = 120
#: One run of a playbook.
PLAYBOOK = 500


def scaled(seconds: float) -> float:
    """Return ``seconds`` multiplied by the factor of this machine."""
    return seconds * SCALE
