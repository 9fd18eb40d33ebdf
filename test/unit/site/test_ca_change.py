"""The change of a site's CA: what is recorded of the robots, and what the running server is asked to restart."""
import datetime
import os

import pytest

from ua_overlay.errors import OverlayError
from ua_overlay.headscale.model import Node
from ua_overlay.headscale.site_settings import SiteSettings
from ua_overlay.site.admin import RobotError
from ua_overlay.site.ca_change import RECORD, CaChange
from ua_overlay.site.site import Site
from ua_overlay.system.control_socket import NotRunning
from ua_overlay.trust import rotation, store
from ua_overlay.trust.rotation import RotationError

NOW = datetime.datetime(2026, 11, 24, 14, 25, tzinfo=datetime.timezone.utc)
DAY = datetime.timedelta(days=1)


def node(name, online=True, invited=NOW - DAY, seen=NOW - DAY):
    return Node('id of ' + name, name, name, (), ('tag:iris',), online, seen, None, None, invited=invited)


class Fleet:
    def __init__(self):
        self.nodes = [node('dev-1'), node('dev-2', False), node('dev-3', False, seen=NOW - 30 * DAY),
                      node('new', invited=NOW + DAY)]

    def robots(self):
        return self.nodes


class Server:
    """Plays the running server: records its requests."""

    def __init__(self):
        self.requests, self.up, self.healthy = [], True, True

    def __call__(self, path, operation):
        if not self.up:
            raise NotRunning('It does not run.')
        self.requests.append(operation)
        return {'ok': self.healthy}


@pytest.fixture
def server():
    return Server()


@pytest.fixture
def site(tmp_path):
    return Site.create(str(tmp_path / 'site'), SiteSettings('s.test'),
                       lambda directory: store.init(directory, 's.test', ['s.test'], [], NOW))


@pytest.fixture
def change(site, server):
    return CaChange(site, Fleet(), lambda: NOW, server)


def test_a_change_waits_for_robots_without_the_new_root(change, server):
    assert change.robots() == [] and change.phase() == rotation.STEADY
    change.start()
    assert server.requests == ['restart', 'restart relay'] and change.phase() == rotation.STARTED
    assert [(robot.name, robot.evidence, robot.waited_for) for robot in change.robots()] == [
        ('dev-1', '', True), ('dev-2', '', True), ('dev-3', '', False), ('new', 'joined', False)]
    with pytest.raises(RotationError, match='dev-1, dev-2'):
        change.switch()
    change.confirm(['dev-1'])
    change.confirm(iter(['dev-2']))
    assert [robot.evidence for robot in change.robots()] == ['confirmed', 'confirmed', '', 'joined']
    trust = change.switch()
    assert trust.ca_pem.count('BEGIN') == 2 and change.phase() == rotation.SWITCHED
    assert server.requests == ['restart', 'restart relay', 'restart']
    change.finish()
    assert change.phase() == rotation.STEADY and server.requests[3:] == []


def test_force_switches_without_waiting(change):
    change.start()
    change.switch(force=True)
    assert change.phase() == rotation.SWITCHED


def test_confirming_an_unknown_robot_changes_nothing(change):
    with pytest.raises(RotationError):
        change.confirm(['dev-1'])
    change.start()
    with pytest.raises(RobotError, match='no robot dev-9 .robots: dev-1, dev-2, dev-3, new') as caught:
        change.confirm(['dev-1', 'dev-9'])
    assert 'robot list' in caught.value.next_command
    assert [robot.evidence for robot in change.robots()][0] == ''


def test_without_its_record_every_robot_must_be_confirmed_again(change, site):
    change.start()
    change.confirm(['dev-1'])
    with open(site.path(RECORD), 'w') as stream:
        stream.write('{"started": null}')
    assert [robot.evidence for robot in change.robots()] == ['', '', '', 'joined']


@pytest.mark.parametrize('switched', [False, True])
def test_cancel_restarts_headscale_only_after_a_switch(change, server, site, switched):
    change.start()
    if switched:
        change.switch(force=True)
    before = len(server.requests)
    change.cancel()
    assert change.phase() == rotation.STEADY and not os.path.exists(site.path(RECORD))
    assert server.requests[before:] == (['restart'] if switched else [])


def test_a_stopped_server_needs_no_restart(change, server):
    server.up = False
    change.start()
    server.up, server.healthy = True, False
    with pytest.raises(OverlayError, match='does not answer after its restart'):
        change.switch(force=True)
