"""ansible/site.yml where the site's public name belongs to a machine that forwards ports to the server."""
import json

import pytest
from playbook import Playbook, installed_robot, installed_server
from topologies import from_config

from ua_overlay.lab.images import USER
from ua_overlay.lab.machine_set import MachineSet

UNIT = 'ua-overlay-forward.service'
TABLE = ['nft', 'list', 'table', 'inet', 'ua_overlay_forward']


@pytest.fixture(scope='module')
def machines(new_lab):
    """The server, the proxy in the network of a router that forwards nothing itself, and two robots; one is used."""
    yield MachineSet(new_lab(from_config('proxy'), 'gate'), also=('proxy',),
                     lower={'server': installed_server(), 'dev-1': installed_robot()}).up()


@pytest.fixture(scope='module')
def book(machines, tmp_path_factory):
    server = {'ua_overlay_server_name': 'server.ua.test', 'ua_overlay_server_addresses': ['203.0.113.10'],
              'ua_overlay_server_private_addresses': ['192.168.7.10']}
    return Playbook(tmp_path_factory.mktemp('controller'), {'all': {
        'vars': {'ansible_user': USER, 'ansible_ssh_common_args': '-F ' + machines.ssh.config},
        'children': {'ua_overlay_server': {'hosts': {'server': server}}, 'ua_overlay_proxy': {'hosts': {
            'proxy': {'ua_overlay_proxy_beside': ['192.168.7.0/24']}}},
                     'team_iris': {'hosts': {'dev-1': {'ua_overlay_master': True}}}}}})


def reaches(machines):
    """Whether the robot's doctor reports that it reaches the server, through the proxy."""
    found = machines['dev-1'].run(['ua-overlay', 'doctor', '--json'], user=USER, check=False, timeout=100).stdout
    return any(item['id'] == 'server' and item['level'] == 'OK' for item in json.loads(found)['findings'])


@pytest.mark.fault('new', 'The machine in front of the server reboots',
                   behaviour='It forwards again, and robots reach the server', reported='-', recovery='180 s',
                   lost='nothing')
def test_a_robot_joins_through_the_proxy_which_forwards_again_after_a_reboot(machines, book):
    played = book.run()
    assert played.status == 0, played.text
    table = machines['proxy'].run(TABLE).stdout
    assert played.changed['proxy'] and table.count('dnat') >= 3 and 'robots beside the server' in table
    machines['dev-1'].wait('a robot that reaches its server', lambda: reaches(machines), 180)
    # The other hosts' second run is the subject of test_machines_site.py.
    again = book.run('--limit', 'proxy')
    assert again.status == 0 and not any(again.changed.values()), again.text

    machines['proxy'].run(['systemctl', 'stop', UNIT])
    assert machines['proxy'].run(TABLE, check=False).returncode != 0
    assert not reaches(machines)
    machines['proxy'].reboot()
    assert machines['proxy'].run(TABLE).stdout.count('dnat') >= 3
    machines['dev-1'].wait('a robot that reaches its server', lambda: reaches(machines), 180)


def test_removal_ends_the_forwarding(machines, book):
    played = book.run('-e', 'ua_overlay_state=absent', '--limit', 'proxy')
    assert played.status == 0, played.text
    assert machines['proxy'].run(TABLE, check=False).returncode != 0
    assert machines['proxy'].run(['sh', '-c', 'ls -d /etc/ua_overlay /etc/systemd/system/' + UNIT],
                                 check=False).stdout == ''
    assert not any(book.run('-e', 'ua_overlay_state=absent', '--limit', 'proxy').changed.values())
