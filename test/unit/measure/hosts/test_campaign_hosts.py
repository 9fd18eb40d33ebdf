"""The kinds of hosts of a campaign."""
import os

import pytest
from paths import CONFIG

from ua_overlay.errors import UsageError
from ua_overlay.measure.campaign import campaign
from ua_overlay.measure.hosts import campaign_hosts
from ua_overlay.measure.hosts.closed_host import ClosedHost
from ua_overlay.measure.hosts.local_host import LocalHost
from ua_overlay.measure.hosts.ssh_host import SshHost
from unit.measure.campaigns import TEXT


def hosts(entry):
    return campaign_hosts.of_campaign(campaign.parse(TEXT.replace('{address: 10.0.0.2}', entry)))


def test_only_one_host_is_this_machine():
    with pytest.raises(UsageError, match='a and b have no `ssh` in the campaign'):
        hosts('{address: 10.0.0.2}')


def test_an_ssh_host_and_a_closed_host():
    found = hosts('{address: 10.0.0.2, ssh: me@10.0.0.2}')
    assert type(found['a']) is LocalHost and type(found['b']) is SshHost
    assert (found['b'].login, found['b'].address) == ('me@10.0.0.2', '10.0.0.2')
    closed = hosts('{address: 10.0.0.2, ssh: none, overlay: b.overlay.internal}')['b']
    assert type(closed) is ClosedHost and closed.overlay_address() == 'b.overlay.internal'


def test_the_walking_campaign_has_a_robot_and_an_ssh_host():
    found = campaign_hosts.of_campaign(campaign.load(os.path.join(CONFIG, 'campaigns', 'walk.yaml')))
    assert {name: type(host) for name, host in found.items()} == {'robot': LocalHost, 'lab-1': SshHost}
