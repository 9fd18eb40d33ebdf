"""Machines of a lab: what is decided before anything is made."""
import collections
import os

from ua_overlay.lab import images, machine_ssh, machines
from ua_overlay.lab.machine_set import image_for, machine_names
from ua_overlay.lab.topology import parse

TOPOLOGY = parse('''
version: 1
inet: {subnet: 203.0.113.0/24, dns: 203.0.113.2}
hosts: {server: {address: 203.0.113.10}}
nats: {nat1: {address: 203.0.113.21, inside: 10.0.2.2/24}}
robots: {dev-1: {behind: nat1, address: 10.0.2.15, hostname: robot}}
''')


def test_servers_are_newer_than_robots_and_routers_are_no_machines():
    assert machine_names(TOPOLOGY) == ['server', 'dev-1']
    assert image_for(TOPOLOGY, 'server').suite == 'bookworm'
    assert image_for(TOPOLOGY, 'dev-1').suite == 'bullseye'
    assert TOPOLOGY.hostname('dev-1') == 'robot' and TOPOLOGY.hostname('nat1') == 'nat1'


def test_the_mirror_is_the_one_of_this_machine():
    text = 'Somebody stable https://other.test/\nDebian bookworm-updates http://a.test/u/\nDebian bookworm http://a.test/d/'
    assert images.parse_mirror(text) == 'http://a.test/d/'
    assert images.parse_mirror('Ubuntu focal http://a.test/ubuntu/\n') is None


def test_no_mirror_where_apt_does_not_answer():
    done = collections.namedtuple('Done', 'returncode stdout')
    assert images.host_mirror(run=lambda *_, **__: done(100, 'Debian bookworm http://a.test/')) is None


def test_another_package_is_another_image():
    first, second = images.Image('bullseye', ('a', 'b')), images.Image('bullseye', ('b', 'a'))
    assert first.directory('/c') == second.directory('/c') != images.Image('bullseye', ('a',)).directory('/c')
    assert first.directory('/c').startswith('/c/machines/bullseye-')


def test_what_a_machine_sees_is_read_only():
    options = machines.nspawn_options('ua-x', 'robot', [('/a', '/b')])
    assert '--bind-ro=/a:/b' in options and '--hostname=robot' in options and '--machine=ua-x' in options


def test_ssh_goes_to_each_host_by_its_own_way():
    process = collections.namedtuple('Process', 'pid start')
    text = machine_ssh.config('/keys', {'dev-1': process(17, 4), 'server': process(18, 5)})
    assert 'Host dev-1\n' in text and '--pid 17 --start 4' in text and 'StrictHostKeyChecking yes' in text
    assert 'IdentityFile /keys/key\n' in text


def test_of_a_process_that_has_ended_nothing_is_known():
    assert machines.children(2 ** 22) == [] and machines.program_of(2 ** 22) == ''
    assert machines.find_leader(2 ** 22) is None


def test_another_script_file_or_base_system_is_another_layer(tmp_path):
    def directory(content, script='true', image=images.ROBOT):
        (tmp_path / 'file').write_text(content)
        return images.Layer(image, script, (('file', str(tmp_path / 'file')),)).directory('/c')

    same = directory('a')
    assert same == directory('a') and same.startswith('/c/machines/layer-')
    assert len({same, directory('b'), directory('a', 'false'), directory('a', image=images.SERVER)}) == 4


def test_only_layers_without_use_for_a_day_are_removed(tmp_path):
    for name, used in (('layer-old', 0), ('layer-new', 90000), ('bullseye-1', 0)):
        (tmp_path / name).mkdir()
        os.utime(str(tmp_path / name), (used, used))
    (tmp_path / 'layer-old.lock').write_text('')
    assert images.unused_layers(str(tmp_path), 100000) == [str(tmp_path / 'layer-old')]
