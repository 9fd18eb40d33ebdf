"""Data of a master, from XML-RPC servers that answer like a master and a roslaunch."""
from xmlrpc.server import SimpleXMLRPCServer

import pytest
from serving import serving

from ua_overlay.checks.observe.master import launched_with_master, observe_graph, registered_nodes
from ua_overlay.checks.observe.questions import Questions


def answering(**functions):
    """A master that answers with these functions, for a block; gives its URL."""
    server = SimpleXMLRPCServer(('127.0.0.1', 0), logRequests=False)
    for name, function in functions.items():
        server.register_function(function, name)
    return serving(server)


URIS = {'/talker': 'http://dev-2:40002/', '/rosout': 'http://dev-1:40001/'}
STATE = [[['/chatter', ['/talker']], ['/rosout_agg', ['/rosout']]], [['/rosout', ['/rosout', '/gone']]], []]


def look_up(caller, node):
    return [1, '', URIS[node]] if node in URIS else [-1, 'unknown', '']


def test_registered_nodes():
    with answering(getSystemState=lambda caller: [1, '', STATE], lookupNode=look_up) as uri:
        assert registered_nodes(uri, 5.0) == (('/rosout', 'http://dev-1:40001/'), ('/talker', 'http://dev-2:40002/'))


def test_a_master_that_fails():
    with answering(getSystemState=lambda caller: [0, 'broken', []]) as uri:
        with pytest.raises(ValueError, match='broken'):
            registered_nodes(uri, 5.0)


@pytest.mark.parametrize('active, launched', [
    (['master', 'rosout-1'], ()), (['master', 'rosout-1', 'camera-2', 'talker-3'], ('camera-2', 'talker-3')),
    (['camera-2'], None)])
def test_nodes_launched_with_the_master(active, launched):
    with answering(list_processes=lambda: [1, '', [[[name, 1] for name in active], []]]) as launch:
        with answering(getParam=lambda caller, key: [1, '', {'host_1': launch}]) as uri:
            assert launched_with_master(uri, 5.0) == launched


def test_a_launch_that_was_killed_is_skipped():
    with answering() as gone:
        closed = gone
    with answering(list_processes=lambda: [1, '', [[['master', 1]], []]]) as launch:
        with answering(getParam=lambda caller, key: [1, '', {'a': closed, 'b': launch}]) as uri:
            assert launched_with_master(uri, 5.0) == ()


def test_the_graph():
    def get_param(caller, key):
        return [1, '', 'run-1'] if key == '/run_id' else [-1, 'not set', 0]
    with answering(getPid=lambda caller: [1, '', 7], getParam=get_param,
                 getSystemState=lambda caller: [1, '', STATE], lookupNode=look_up) as uri:
        graph = observe_graph(uri, Questions(), 5.0)
    assert graph.alive and len(graph.nodes) == 2 and graph.launched is None
    graph = observe_graph(uri, Questions(), 1.0)
    assert not graph.alive and uri in graph.why and graph.nodes is None
