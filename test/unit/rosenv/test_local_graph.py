"""Which graph is the local one."""
import pytest

from ua_overlay.rosenv.local_graph import NODE, local_master_uri
from ua_overlay.system.instance import Instance, myself


@pytest.mark.parametrize('graph, expected', [
    ('http://localhost:11310', 'http://localhost:11310'), ('http://127.0.0.1:11400/', 'http://127.0.0.1:11400'),
    ('http://10.0.2.15:11311', 'http://localhost:11311'), ('', 'http://localhost:11311'),
    ('http://localhost:1$(id)', 'http://localhost:11311')])
def test_a_node_that_runs_says_which(tmp_path, graph, expected):
    environ = {'UA_OVERLAY_RUN_DIR': str(tmp_path)}
    assert local_master_uri(environ) == 'http://localhost:11311'
    node = Instance(str(tmp_path), NODE, 'The overlay node')
    node.claim(myself(graph))
    assert local_master_uri(environ) == expected
    node.release()
    assert local_master_uri(environ) == 'http://localhost:11311'


def test_without_a_run_directory():
    assert local_master_uri({}) == 'http://localhost:11311'
