"""ansible/site.yml turns a bookworm server and two bullseye robots into a site and a team, over real ssh.

The tests are one story, in the order of the file: from nothing to a team, and back to nothing.
"""
import json

import pytest
import vendor
from installed_site import ROBOTS, assert_team, inventory
from playbook import Playbook
from topologies import from_config

from ua_overlay.lab.images import USER
from ua_overlay.lab.machine_set import MachineSet

#: Nothing answers there, like a robot that is switched off.
ABSENT = {'dev-9': {'ansible_ssh_common_args': '-o ProxyCommand=false -o ConnectTimeout=2'}}


@pytest.fixture(scope='module')
def machines(new_lab):
    """The machines, as their distribution made them."""
    yield MachineSet(new_lab(from_config('machines'), 'fleet')).up()


@pytest.fixture(scope='module')
def before(machines):
    """Files of each machine before anything of ours."""
    # The first sudo and the first ssh leave files behind that are not ours.
    for machine in machines.machines.values():
        machine.run(['sudo', '-n', 'true'], user=USER)
    return {name: files(machine) for name, machine in machines.machines.items()}


@pytest.fixture(scope='module')
def book(machines, tmp_path_factory):
    return Playbook(tmp_path_factory.mktemp('controller'), inventory(machines, ABSENT))


def files(machine):
    """What is below the directories that the playbook writes to: path, kind, mode, owner, and content or target.

    Without what changes by itself: the journal, systemd's time stamps, apt's and ssh's caches, measured links,
    tailscaled's network map (1.102 writes it when the home DERP changes) and the stamp beside it.
    """
    script = '''look() {
        find /etc /opt /usr/local /usr/lib/systemd /usr/share/keyrings /var/lib /home /run/ua_overlay /run/tailscale \\
            \\( -path /var/lib/systemd -o -path /var/lib/dpkg -o -path /var/lib/private -o -path /var/lib/apt \\
               -o -path /etc/resolv.conf -o -path '/etc/resolv.*.conf' -o -path /var/lib/sudo \\
               -o -path /run/ua_overlay/links.jsonl -o -path /run/ua_overlay/round_trips.json \\
               -o -path '/var/lib/tailscale/profile-data/*/netmap-cache' \\
               -o -path /var/lib/ua_overlay/robot/map_valid_until \\
               -o -path '/home/*/.ansible' -o -path '/home/*/.ros' -o -path '/etc/*-' \\) -prune -o "$@"
    }
    look -printf '%p %y %m %U:%G %l\\n'
    look -type f -exec sha256sum {} +'''
    return sorted(machine.run(['sh', '-c', script], check=False).stdout.splitlines())


def invocations(machines):
    """What changes when a service is started again."""
    units = {'server': ['ua-overlay-server', 'ua-overlay-server-relay'],
             'dev-1': ['tailscaled', 'ua-overlay', 'ua-overlay-agent']}
    units['dev-2'] = units['dev-1']
    return {(name, unit): machines[name].property(unit, 'InvocationID') for name in units for unit in units[name]}


def test_check_mode_changes_nothing_on_new_machines(machines, before, book):
    book.write(inventory(machines))
    played = book.run('--check', '--diff')
    assert played.status == 0, played.text
    assert played.changed['server'] and played.changed['dev-1']  # it reports what it would do
    for name, machine in machines.machines.items():
        assert files(machine) == before[name]


@pytest.mark.fault('new', 'A robot is off while Ansible installs the site',
                   behaviour='The other hosts are installed; a later run installs it', reported='by the run',
                   recovery='with the next run', lost='nothing')
def test_installation_while_one_robot_is_off(machines, before, book):
    book.write(inventory(machines, ABSENT))
    played = book.run()
    assert played.status == 4, played.text  # some hosts were unreachable
    assert played.unreachable['dev-9'] == 1
    assert not any(played.failed.values()), played.text
    assert_team(machines)
    assert book.keys_on_disk() == [] and 'hskey-' not in played.text
    for name in ROBOTS:
        machine = machines[name]
        kept = machine.run(['sh', '-c', 'ls /run/ua_overlay']).stdout.split()
        assert {'env', 'preferences.json'} <= set(kept) and not [name for name in kept if 'invitation' in name]
        for place in ('/home', '/root', '/tmp', '/etc', '/var'):
            assert machine.run(['grep', '-rl', 'hskey-', place], check=False).stdout == ''
        assert 'hskey-' not in machine.run(['journalctl', '--no-pager', '-o', 'export']).stdout
        assert machine.run(['ua-overlay', 'guard', 'status']).returncode == 0
        assert machine.run(['runuser', '-u', USER, '--', 'ua-overlay', 'doctor', '--json'], check=False).stdout


def test_a_second_run_changes_nothing(machines, book):
    book.write(inventory(machines))
    services, everything = invocations(machines), {name: files(machines[name]) for name in machines.machines}
    played = book.run()
    assert played.status == 0, played.text
    assert not any(played.changed.values()), played.text
    checked = book.run('--check', '--diff', '--limit', 'server,dev-1')
    assert checked.status == 0 and not any(checked.changed.values()), checked.text
    assert invocations(machines) == services
    for name in ROBOTS:
        assert set(files(machines[name])) == set(everything[name])


def test_tailscale_from_an_archive_and_from_a_repository(machines, book, tmp_path):
    """Each kind of toolchain: an archive on dev-1, the package of a repository on dev-2."""
    part = ('--tags', 'toolchain,service')
    archive = ['--limit', 'dev-1', '-e', 'ua_overlay_toolchain=file', '-e',
               'ua_overlay_toolchain_file=' + vendor.make_archive(tmp_path)]
    played = book.run(*part, *archive)
    assert played.status == 0 and played.changed['dev-1'], played.text
    assert not any(book.run(*part, *archive).changed.values())

    repository, key = vendor.make_repository(tmp_path)
    machine = machines['dev-2']
    machine.copy_in(repository, '/srv/repository')
    line = 'deb [signed-by=/usr/share/keyrings/ua_overlay_tailscale.gpg] file:/srv/repository ./'
    package = ['--limit', 'dev-2', '-e', json.dumps({
        'ua_overlay_toolchain': 'repository', 'ua_overlay_repository_line': line, 'ua_overlay_repository_key': key})]
    played = book.run(*part, *package)
    assert played.status == 0, played.text
    assert machine.run(['which', 'tailscaled', 'tailscale']).stdout.split() == [
        '/usr/sbin/tailscaled', '/usr/bin/tailscale']
    assert '/usr/sbin/tailscaled' in machine.property('tailscaled', 'ExecStart')
    assert not any(book.run(*part, *package).changed.values())
    assert_team(machines)


def test_removal_leaves_nothing(machines, before, book):
    book.write(inventory(machines))
    played = book.run('-e', 'ua_overlay_state=absent')
    assert played.status == 0, played.text
    for name, machine in machines.machines.items():
        now = set(files(machine))
        left, gone = now - set(before[name]), set(before[name]) - now
        assert not left and not gone, name
        assert machine.run(['sh', '-c', 'systemctl list-unit-files --no-legend "ua-overlay*" "tailscaled*"'],
                           check=False).stdout == ''
    again = book.run('-e', 'ua_overlay_state=absent', '--limit', 'server,dev-1')
    assert again.status == 0 and not any(again.changed.values()), again.text
