"""The ways out of this machine: its interfaces, and whether packets come through. Everything has a deadline."""
import errno
import os
import socket
import subprocess
import xml.parsers.expat
import xmlrpc.client
from http.client import HTTPException

from ua_overlay.checks import facts as fact_types
from ua_overlay.errors import OverlayError
from ua_overlay.rosenv.team import ipv4

#: Bytes of an ICMP echo's headers (IPv4 20, ICMP 8).
ECHO_HEADERS = 28
OVERLAY_MTU = 1280
#: What the network can raise; anything else is a mistake of ours and is not hidden.
EXPECTED = (OSError, OverlayError, xmlrpc.client.Error, HTTPException, xml.parsers.expat.ExpatError, ValueError)


def overlay_mtu(facts, sys='/sys/class/net'):
    """MTU of the interface with our overlay address, tailscaled's default when it cannot be read."""
    own = ipv4(facts.status.self_node)
    for name, address, _ in facts.interfaces or ():
        if address == own:
            try:
                with open(os.path.join(sys, name, 'mtu'), encoding='ascii') as stream:
                    return int(stream.read())
            except (OSError, ValueError):
                break
    return OVERLAY_MTU


def connect(address, port, timeout):
    """Try a TCP connection; one of facts' OPEN, REFUSED, DROPPED, NO_ROUTE."""
    try:
        with socket.create_connection((address, port), timeout):
            return fact_types.OPEN
    except ConnectionRefusedError:
        return fact_types.REFUSED
    except OSError as error:
        return fact_types.NO_ROUTE if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH) else fact_types.DROPPED


def echo(address, size, run=subprocess.run):
    """Whether one of two ICMP echoes with ``size`` bytes, not to be fragmented, comes back; None: no ping here."""
    try:
        done = run(['ping', '-n', '-q', '-c', '2', '-i', '0.3', '-W', '1', '-M', 'do', '-s', str(size), address],
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=4)
    except (OSError, subprocess.TimeoutExpired):
        return None
    # iputils: 0 some came back, 1 none did, 2 it could not be tried.
    return None if done.returncode > 1 else done.returncode == 0
