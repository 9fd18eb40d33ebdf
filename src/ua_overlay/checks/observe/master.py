"""Query the team's master and its nodes over XML-RPC."""
from typing import Any, Callable, Dict, Optional, Tuple

from ua_overlay.checks.facts import Graph
from ua_overlay.checks.observe.questions import EXPECTED, Questions
from ua_overlay.rosenv.master import CALLER_ID, MasterProbe, master_proxy

#: Maximum number of nodes to look up.
MOST_NODES = 500
#: Maximum number of launches to query.
_MOST_LAUNCHES = 8


def observe_graph(uri: str, questions: Questions, patience: float) -> Graph:
    """Query the master at ``uri``, its launch and its nodes.

    :param patience: seconds for each of two steps.
    """
    answer = MasterProbe(deadline=patience)(uri)
    if not answer.alive:
        return Graph(uri, False, answer.why)
    steps: Dict[str, Callable[[], Any]] = {'nodes': lambda: registered_nodes(uri, patience),
                                           'launched': lambda: launched_with_master(uri, patience / 2)}
    answers = questions.ask(steps, patience)
    return Graph(uri, True, nodes=answers['nodes'], launched=answers['launched'])


def registered_nodes(uri: str, timeout: float) -> Tuple[Tuple[str, str], ...]:
    """Return (node, its URI) of all nodes that the master at ``uri`` knows, sorted, except those that have unregistered
    meanwhile.

    :param timeout: seconds for each socket operation.
    :raises OSError, xmlrpc.client.Error, ValueError: no master answers.
    """
    master: Any
    with master_proxy(uri, timeout) as master:
        code, text, state = master.getSystemState(CALLER_ID)
        if code != 1:
            raise ValueError(text)
        names = sorted({node for kind in state for _, nodes in kind for node in nodes})[:MOST_NODES]
        nodes = []
        for name in names:
            code, _, node_uri = master.lookupNode(CALLER_ID, name)
            if code == 1:
                nodes.append((name, node_uri))
        return tuple(nodes)


def launched_with_master(uri: str, timeout: float) -> Optional[Tuple[str, ...]]:
    """Return the names, sorted, of the other nodes of the launch that started the master at ``uri``, without rosout;
    None if that is unknown.

    A roscore is a roslaunch too; each of them registers its XML-RPC server below /roslaunch/uris (roslaunch/server.py).

    :param timeout: seconds for each socket operation.
    :raises OSError, xmlrpc.client.Error, ValueError: no master answers.
    """
    master: Any
    with master_proxy(uri, timeout) as master:
        code, _, uris = master.getParam(CALLER_ID, '/roslaunch/uris')
    for launch_uri in list(uris.values())[:_MOST_LAUNCHES] if code == 1 else ():
        launch: Any
        try:
            with master_proxy(launch_uri, timeout) as launch:
                code, _, (active, _) = launch.list_processes()
        except EXPECTED:
            continue  # the entry of a launch that was killed
        names = [name for name, _ in active]
        if code == 1 and 'master' in names:
            # roslaunch numbers its processes: rosout-1.
            return tuple(sorted(name for name in names if name != 'master' and not name.startswith('rosout-')))
    return None
