"""ansible/site.yml with a remote relay and DERP region on a second host, and a user's laptop.

Enrolments hold keys, as invitations do. One story: installed, the site's CA changes, a reboot, nothing left.
"""
import json
import os

import pytest
from playbook import Playbook, installed_robot, installed_server
from topologies import from_config

from ua_overlay.lab.images import USER
from ua_overlay.lab.machine_set import MachineSet

PLACES = ['/etc/ua_overlay', '/var/lib/ua_overlay', '/opt/ua_overlay', '/var/lib/tailscale', '/usr/local/bin/derper',
          '/usr/local/bin/ua-overlay']


@pytest.fixture(scope='module')
def machines(new_lab):
    server = installed_server()
    yield MachineSet(new_lab(from_config('two_hosts'), 'relays'),
                     lower={'server': server, 'second': server, 'dev-1': installed_robot()}).up()


def inventory(machines, state='present'):
    """A site with the second host and the laptop dev-1 of ana; the robot of team_iris is off."""
    return {'all': {
        'vars': {'ansible_user': USER, 'ansible_ssh_common_args': '-F ' + machines.ssh.config},
        'children': {
            'ua_overlay_server': {'hosts': {'server': {
                'ua_overlay_server_name': 'server.ua.test', 'ua_overlay_server_addresses': ['203.0.113.10']}}},
            'ua_overlay_relays': {'hosts': {'second': {
                'ua_overlay_relay_address': '203.0.113.11', 'ua_overlay_state': state}}},
            'ua_overlay_derps': {'hosts': {'second': {'ua_overlay_derp_address': '203.0.113.11'}}},
            'team_iris': {'hosts': {'dev-9': {'ansible_ssh_common_args': '-o ProxyCommand=false'}}},
            'user_ana': {'vars': {'ua_overlay_user_teams': ['iris']}, 'hosts': {'dev-1': {
                'ua_overlay_robot_name': 'laptop-1', 'ua_overlay_state': state}}}}}}


def site(machines, *argv):
    return json.loads(machines['server'].run(['ua-overlay'] + list(argv) + ['--json'], check=False).stdout)


def works(machines):
    """Whether the server reports that the relay and the DERP of the second host work."""
    relays = {row['name']: row for row in site(machines, 'relay', 'list')}
    derps = {row['name']: row for row in site(machines, 'derp', 'list')}
    return relays.get('second', {}).get('ok') and derps.get('second', {}).get('home')


def laptops(machines):
    return {row['robot']: (row['user'], row['online']) for row in site(machines, 'robot', 'list', '--users')}


def ca_of(machines, host, *parts):
    return machines[host].run(['cat', os.path.join('/var/lib/ua_overlay', *parts, 'ca.pem')]).stdout


@pytest.mark.fault('new', 'A remote host with a relay and a DERP reboots', behaviour='Both work again', reported='-',
                   recovery='180 s', lost='nothing')
def test_install_ca_change_reboot_and_removal(machines, tmp_path):
    book = Playbook(tmp_path, inventory(machines))
    played = book.run()
    assert played.unreachable['dev-9'] == 1 and not any(played.failed.values()), played.text
    machines['second'].wait('a relay and a DERP that work', lambda: works(machines), 180)
    assert laptops(machines) == {'laptop-1': ('ana', True)}
    assert site(machines, 'user', 'list')[0]['teams'] == ['iris']
    assert book.keys_on_disk() == [] and 'hskey-' not in played.text
    assert machines['second'].run(['sh', '-c', 'ls /run/ua_overlay_*.yaml'], check=False).returncode != 0
    # The second run of the server is the subject of test_machines_site.py.
    again = book.run('--limit', 'second,dev-1')
    assert again.status == 0 and not any(again.changed.values()), again.text

    # Relay and DERP receive new enrolments and use them.
    machines['server'].run(['ua-overlay', 'server', 'rotate-ca', 'start'])
    changed = book.run('--tags', 'ca', '--limit', '!dev-9')
    assert changed.status == 0 and changed.changed['second'] and changed.changed['dev-1'], changed.text
    machines['second'].wait('a relay and a DERP that work', lambda: works(machines), 180)
    assert ca_of(machines, 'second', 'relay') == ca_of(machines, 'second', 'derp') == ca_of(machines, 'server', 'site')
    assert book.keys_on_disk() == []
    machines['second'].reboot()
    machines['second'].wait('a relay and a DERP that work', lambda: works(machines), 180)

    book.write(inventory(machines, 'absent'))
    gone = book.run('--limit', '!dev-9')
    assert gone.status == 0 and gone.changed['second'] and gone.changed['dev-1'], gone.text
    assert laptops(machines) == {}
    assert [row['name'] for row in site(machines, 'relay', 'list') + site(machines, 'derp', 'list')] == ['site'] * 2
    for host in ('second', 'dev-1'):
        assert machines[host].run(['ls', '-d'] + PLACES, check=False).stdout == ''
    assert not any(book.run('--limit', 'second,dev-1').changed.values())
