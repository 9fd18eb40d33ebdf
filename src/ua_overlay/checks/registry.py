"""What a ROS master says of its nodes, asked over XML-RPC; every question has a deadline."""
import xmlrpc.client

from ua_overlay.checks.routes import EXPECTED
from ua_overlay.rosenv.master import TimeoutTransport

#: Nodes that are asked about at most.
MOST_NODES = 500


def port_of(uri):
    """The port of a URI, 0 when there is none."""
    tail = uri.rstrip('/').rpartition(':')[2]
    return int(tail) if tail.isdigit() else 0


def registered_nodes(uri, timeout):
    """((node, its URI), …) of all nodes that the master at ``uri`` knows, sorted; URI '' when it was gone again.

    :raises OSError, xmlrpc.client.Error, ValueError: when the master does not answer as one.
    """
    with xmlrpc.client.ServerProxy(uri, transport=TimeoutTransport(timeout)) as proxy:
        code, text, state = proxy.getSystemState('/ua_overlay')
        if code != 1:
            raise ValueError(text)
        names = sorted({node for kind in state for _, nodes in kind for node in nodes})[:MOST_NODES]
        found = []
        for name in names:
            code, _, node_uri = proxy.lookupNode('/ua_overlay', name)
            if code == 1:
                found.append((name, node_uri))
        return tuple(found)


def launched_with_master(uri, timeout):
    """Names of what the launch that started the master at ``uri`` runs besides master and rosout; None: not known.

    A roscore is a roslaunch too; each of them registers its XML-RPC server below /roslaunch/uris (roslaunch/server.py).

    :raises OSError, xmlrpc.client.Error, ValueError: when the master does not answer as one.
    """
    with xmlrpc.client.ServerProxy(uri, transport=TimeoutTransport(timeout)) as proxy:
        code, _, uris = proxy.getParam('/ua_overlay', '/roslaunch/uris')
    for launch in list(uris.values())[:8] if code == 1 else ():
        try:
            with xmlrpc.client.ServerProxy(launch, transport=TimeoutTransport(timeout)) as proxy:
                code, _, (active, _) = proxy.list_processes()
        except EXPECTED:
            continue  # the entry of a launch that was killed
        names = [name for name, _ in active]
        if code == 1 and 'master' in names:
            # roslaunch numbers its processes: rosout-1.
            return tuple(sorted(name for name in names if name != 'master' and not name.startswith('rosout-')))
    return None
