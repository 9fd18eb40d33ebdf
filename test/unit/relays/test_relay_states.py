"""The rows of `relay list`."""
from ua_overlay.defaults import RELAY_PORT
from ua_overlay.headscale.model import Node
from ua_overlay.headscale.remote_hosts import RelayHost
from ua_overlay.headscale.site_settings import SiteSettings
from ua_overlay.relays.relay_states import relay_states


def node(name, online, *tags):
    return Node(name, name, name, (), tags, online, None, None, None)


def test_the_server_s_own_relay_and_each_remote_one():
    settings = SiteSettings('s.test', relays=tuple(
        RelayHost(name, '203.0.113.11', RELAY_PORT + number) for number, name in enumerate(('a', 'b', 'c'))))
    nodes = [node('relay-a', True, 'tag:relay'), node('relay-b', False, 'tag:relay'), node('relay-c', True, 'tag:iris')]
    rows = relay_states({'state': 'up', 'ok': True}, settings, nodes)
    assert rows[0] == {'state': 'up', 'ok': True, 'name': 'site', 'port': RELAY_PORT}
    # A robot that calls itself relay-c is not the relay c.
    assert [(row['name'], row['port'], row['ok'], row['state']) for row in rows[1:]] == [
        ('a', 40000, True, 'up'), ('b', 40001, False, 'offline'), ('c', 40002, False, 'never joined')]
