"""ansible/site.yml with a further relay on a host of its own: its bundle holds a key, as an invitation does."""
import json
import os

import pytest
from playbook import ROOT, Playbook

from ua_overlay.lab.images import USER
from ua_overlay.lab.lab import Lab, load_topology
from ua_overlay.lab.machine_set import MachineSet


@pytest.fixture(scope='module')
def machines(lab_possible, lab_root):
    topology = load_topology(os.path.join(ROOT, 'config', 'lab', 'two_hosts.yaml'))
    with Lab.up(topology, 'relays-{}'.format(os.getpid()), lab_root, bound=True) as lab:
        yield MachineSet(lab).up()


def inventory(machines, state='present'):
    return {'all': {
        'vars': {'ansible_user': USER, 'ansible_ssh_common_args': '-F ' + machines.ssh.config},
        'children': {
            'ua_overlay_server': {'hosts': {'server': {
                'ua_overlay_server_name': 'server.ua.test', 'ua_overlay_server_addresses': ['203.0.113.10']}}},
            'ua_overlay_relays': {'hosts': {'second': {
                'ua_overlay_relay_address': '203.0.113.11', 'ua_overlay_state': state}}}}}}


def relays(machines):
    """name -> row of `relay list`."""
    said = machines['server'].run(['ua-overlay', 'relay', 'list', '--json'], check=False).stdout
    return {row['name']: row for row in json.loads(said)}


def works(machines):
    return relays(machines).get('second', {}).get('ok')


def test_installed_returned_after_a_reboot_and_removed(machines, tmp_path):
    book = Playbook(tmp_path, inventory(machines))
    played = book.run()
    assert played.status == 0, played.text
    machines['second'].wait('a relay that works', lambda: works(machines), 180)
    assert book.keys_on_disk() == [] and 'hskey-' not in played.text
    assert machines['second'].run(['ls', '/run/ua_overlay_relay.yaml'], check=False).returncode != 0
    again = book.run()
    assert again.status == 0 and not any(again.changed.values()), again.text

    machines['second'].reboot()
    machines['second'].wait('a relay that works', lambda: works(machines), 180)

    book.write(inventory(machines, 'absent'))
    gone = book.run()
    assert gone.status == 0 and gone.changed['second'] and not gone.changed['server'], gone.text
    assert 'second' not in relays(machines)
    assert machines['second'].run(['sh', '-c', 'ls -d /etc/ua_overlay /var/lib/ua_overlay /opt/ua_overlay'],
                                  check=False).stdout == ''
    assert not any(book.run().changed.values())
