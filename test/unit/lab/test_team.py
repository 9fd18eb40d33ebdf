"""The addresses of a site in a topology, and the selected robots. Real teams: test/lab."""
import contextlib
import os

import pytest
from paths import CONFIG

from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.lab import team
from ua_overlay.lab.topology import parse

LABS = os.path.join(CONFIG, 'lab')


def topology(name):
    with open(os.path.join(LABS, name)) as stream:
        return parse(stream.read())


def test_a_server_on_the_internet_and_one_behind_a_router():
    assert team.site_addresses(topology('two_nats.yaml'), 'server') == ('203.0.113.10', '', '')
    assert team.site_addresses(topology('campus.yaml'), 'server') == ('203.0.113.10', '192.168.7.10', 'proxy')
    with pytest.raises(UsageError, match='no host boss; it has server'):
        team.site_addresses(topology('two_nats.yaml'), 'boss')


def test_selected_robots_have_the_order_of_the_topology():
    links = topology('links.yaml')
    assert team.chosen(links, None) == [robot.name for robot in links.robots]
    assert team.chosen(links, ['relay-2', 'direct-1']) == ['direct-1', 'relay-2']
    with pytest.raises(UsageError, match='no robot dev-9; it has direct-1'):
        team.chosen(links, ['direct-1', 'dev-9'])


def test_an_environment_as_words():
    assert team.environment_of(['TS_DEBUG_MTU=1420', 'A=b=c', 'EMPTY=']) == {
        'TS_DEBUG_MTU': '1420', 'A': 'b=c', 'EMPTY': ''}
    for wrong in ('TS_DEBUG_MTU', '=1420', ''):
        with pytest.raises(UsageError, match='is no NAME=VALUE'):
            team.environment_of([wrong])


@contextlib.contextmanager
def quiet(_text):
    yield


def test_a_master_that_does_not_join_is_refused_first():
    with pytest.raises(OverlayError, match='dev-3 is to be the master, but is none of the robots'):
        team.bring_up(None, ['dev-1', 'dev-2'], quiet, master='dev-3')
