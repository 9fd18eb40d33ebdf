"""Data of a master, from XML-RPC servers that answer like a master and a roslaunch."""
import contextlib
import threading
from xmlrpc.server import SimpleXMLRPCServer

import pytest

from ua_overlay.checks.observe.master import launched_with_master, observe_graph, registered_nodes
from ua_overlay.checks.observe.questions import Questions


@contextlib.contextmanager
def serving(**functions):
    server = SimpleXMLRPCServer(('127.0.0.1', 0), logRequests=False)
    for name, function in functions.items():
        server.register_function(function, name)
    thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.02}, daemon=True)
    thread.start()
    try:
        yield 'http://127.0.0.1:{}'.format(server.server_address[1])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


URIS = {'/talker': 'http://dev-2:40002/', '/rosout': 'http://dev-1:40001/'}
STATE = [[['/chatter', ['/talker']], ['/rosout_agg', ['/rosout']]], [['/rosout', ['/rosout', '/gone']]], []]


def look_up(caller, node):
    return [1, '', URIS[node]] if node in URIS else [-1, 'unknown', '']


def test_registered_nodes():
    with serving(getSystemState=lambda caller: [1, '', STATE], lookupNode=look_up) as uri:
        assert registered_nodes(uri, 5.0) == (('/rosout', 'http://dev-1:40001/'), ('/talker', 'http://dev-2:40002/'))


def test_a_master_that_fails():
    with serving(getSystemState=lambda caller: [0, 'broken', []]) as uri:
        with pytest.raises(ValueError, match='broken'):
            registered_nodes(uri, 5.0)


@pytest.mark.parametrize('active, launched', [
    (['master', 'rosout-1'], ()), (['master', 'rosout-1', 'camera-2', 'talker-3'], ('camera-2', 'talker-3')),
    (['camera-2'], None)])
def test_nodes_launched_with_the_master(active, launched):
    with serving(list_processes=lambda: [1, '', [[[name, 1] for name in active], []]]) as launch:
        with serving(getParam=lambda caller, key: [1, '', {'host_1': launch}]) as uri:
            assert launched_with_master(uri, 5.0) == launched


def test_a_launch_that_was_killed_is_skipped():
    with serving() as gone:
        closed = gone
    with serving(list_processes=lambda: [1, '', [[['master', 1]], []]]) as launch:
        with serving(getParam=lambda caller, key: [1, '', {'a': closed, 'b': launch}]) as uri:
            assert launched_with_master(uri, 5.0) == ()


def test_the_graph():
    def get_param(caller, key):
        return [1, '', 'run-1'] if key == '/run_id' else [-1, 'not set', 0]
    with serving(getPid=lambda caller: [1, '', 7], getParam=get_param,
                 getSystemState=lambda caller: [1, '', STATE], lookupNode=look_up) as uri:
        graph = observe_graph(uri, Questions(), 5.0)
    assert graph.alive and len(graph.nodes) == 2 and graph.launched is None
    graph = observe_graph(uri, Questions(), 1.0)
    assert not graph.alive and uri in graph.why and graph.nodes is None
