"""Query the team's master and its nodes over XML-RPC."""
from typing import Any, Callable, Dict, Optional, Tuple

from ua_overlay.checks.facts import Graph
from ua_overlay.checks.observe.questions import Questions
from ua_overlay.printable import printable
from ua_overlay.rosenv.master import CALLER_ID, ERRORS, MasterProbe, master_proxy, texts, value_of

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
    :raises OSError, xmlrpc.client.Error, http.client.HTTPException, ValueError: no master answers.
    """
    master: Any
    with master_proxy(uri, timeout) as master:
        names = set()
        for kind in value_of(master.getSystemState(CALLER_ID), list):
            for entry in kind if isinstance(kind, list) else [None]:
                if not isinstance(entry, list) or len(entry) != 2:
                    raise ValueError('the state has another shape')
                names.update(texts(entry[1]))
        nodes = []
        for name in sorted(names)[:MOST_NODES]:
            try:
                nodes.append((name, printable(value_of(master.lookupNode(CALLER_ID, name), str), 1000)))
            except ValueError:
                continue  # it has unregistered
        return tuple(nodes)


def launched_with_master(uri: str, timeout: float) -> Optional[Tuple[str, ...]]:
    """Return the names, sorted, of the other nodes of the launch that started the master at ``uri``, without rosout;
    None if that is unknown.

    A roscore is a roslaunch too; each of them registers its XML-RPC server below /roslaunch/uris (roslaunch/server.py).

    :param timeout: seconds for each socket operation.
    :raises OSError, xmlrpc.client.Error, http.client.HTTPException: no master answers.
    """
    master: Any
    with master_proxy(uri, timeout) as master:
        try:
            uris = value_of(master.getParam(CALLER_ID, '/roslaunch/uris'), dict)
        except ValueError:
            return None
    for launch_uri in list(uris.values())[:_MOST_LAUNCHES]:
        launch: Any
        try:
            with master_proxy(launch_uri if isinstance(launch_uri, str) else '', timeout) as launch:
                active, _ = value_of(launch.list_processes(), list)
                names = [texts(entry[:1])[0] for entry in active]
        except ERRORS + (TypeError, IndexError):
            continue  # the entry of a launch that was killed, or another program
        if 'master' in names:
            # roslaunch numbers its processes: rosout-1.
            return tuple(sorted(name for name in names if name != 'master' and not name.startswith('rosout-')))
    return None
