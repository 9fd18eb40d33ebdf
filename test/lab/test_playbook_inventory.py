"""An invalid inventory is refused with a sentence before any host is contacted; and the linter passes."""
import os
import re
import subprocess

import pytest
import yaml
from places import ROOT
from playbook import PROGRAM, Playbook

from ua_overlay import defaults
from ua_overlay.toolchain.architecture import ELF_HEADER, of_machine, of_program
from ua_overlay.trust.names import LABEL, RESERVED_ROBOTS

SERVER = {'hosts': {'server': {'ua_overlay_server_name': 'server.ua.test'}}}
#: Nothing listens there: a host that is contacted is unreachable.
UNTOUCHED = {'ansible_ssh_common_args': '-o ProxyCommand=false'}


@pytest.fixture(scope='module')
def book(tmp_path_factory):
    """For inventories of hosts that nothing connects to."""
    return Playbook(tmp_path_factory.mktemp('controller'), {})


@pytest.mark.parametrize('children, sentence', [
    ({'team_iris': {'hosts': {'dev-1': {}}}}, 'The inventory has no hosts in the group ua_overlay_server'),
    ({'ua_overlay_server': {'hosts': {'a': {}, 'b': {}}}}, 'The inventory has 2 hosts in the group ua_overlay_server'),
    ({'ua_overlay_server': {'hosts': {'server': {}}}}, 'server needs ua_overlay_server_name'),
    ({'ua_overlay_server': SERVER, 'ua_overlay_proxy': {'hosts': {'a': {}, 'b': {}}}},
     'The group ua_overlay_proxy has a and b'),
    ({'ua_overlay_server': SERVER, 'team_iris': {'hosts': {'dev-1': {}}}, 'team_otto': {'hosts': {'dev-1': {}}}},
     'dev-1 is in team_iris and team_otto'),
    ({'ua_overlay_server': {'hosts': {'gate': SERVER['hosts']['server']}}, 'team_iris': {'hosts': {'gate': {}}}},
     'gate is also a robot or a laptop'),
    ({'ua_overlay_server': SERVER, 'team_iris': {'hosts': {
        'dev-1': {'ua_overlay_master': True}, 'dev-2': {'ua_overlay_master': True}}}},
     'dev-1 and dev-2 are both masters of team_iris'),
    ({'ua_overlay_server': SERVER, 'team_ros_master': {'hosts': {'dev-1': {}}}},
     'The group team_ros_master would be the team ros-master, a reserved name.'),
    ({'ua_overlay_server': SERVER, 'team_Iris': {'hosts': {'dev-1': {}}}},
     'The group team_Iris would be the team Iris, an invalid name: use lower-case letters'),
    ({'ua_overlay_server': SERVER, 'team_iris': {'hosts': {'relay': {}}}},
     'relay would be called relay in the overlay, a reserved name.'),
    ({'ua_overlay_server': SERVER, 'team_iris': {'hosts': {'dev-1': {}, 'dev-2': {'ua_overlay_robot_name': 'dev-1'}}}},
     'dev-1 and dev-2 would both be called dev-1'),
    ({'ua_overlay_server': SERVER, 'team_iris': {'hosts': {'dev-1': {}}}, 'user_ana': {'hosts': {'dev-1': {}}}},
     'dev-1 is in team_iris and user_ana; a laptop has one user'),
    ({'ua_overlay_server': SERVER, 'team_iris': {'hosts': {'dev-1': {}}}, 'user_ana': {'hosts': {'laptop-1': {}}}},
     'user_ana has no ua_overlay_user_teams'),
    ({'ua_overlay_server': SERVER, 'team_iris': {'hosts': {'dev-1': {}}}, 'user_ana': {
        'hosts': {'laptop-1': {}}, 'vars': {'ua_overlay_user_teams': ['iris', 'blue']}}},
     'user_ana names teams that are not in the inventory: blue.'),
    ({'ua_overlay_server': SERVER, 'ua_overlay_derps': {'hosts': {'b': {}}}}, 'b has no ua_overlay_derp_address'),
    ({'ua_overlay_server': SERVER, 'ua_overlay_relays': {'hosts': {'server': {'ua_overlay_relay_address': '::1'}}}},
     'server is the server or the proxy, and also a remote relay'),
])
def test_invalid_inventories_are_refused_with_a_sentence(book, children, sentence):
    book.write({'all': {'vars': UNTOUCHED, 'children': children}})
    played = book.run()
    assert played.status == 2 and sentence in played.message()
    assert not any(played.unreachable.values())  # no host was contacted


def test_a_limit_to_one_robot_does_not_skip_the_check(book):
    teams = {'team_iris': {'hosts': {'dev-1': {}, 'dev-2': {}}}, 'team_otto': {'hosts': {'dev-1': {}}}}
    book.write({'all': {'vars': UNTOUCHED, 'children': dict(teams, ua_overlay_server=SERVER)}})
    played = book.run('--limit', 'dev-2')
    assert played.status == 2 and 'dev-1 is in team_iris and team_otto' in played.message()


def test_an_invalid_value_is_refused_before_anything_changes(book):
    server = {'hosts': {'server': dict(SERVER['hosts']['server'], ua_overlay_toolchain='magic',
                                       ansible_connection='local', ansible_become=False)}}
    book.write({'all': {'children': {'ua_overlay_server': server}}})
    played = book.run('--check')
    assert played.status == 2 and played.changed['server'] == 0
    assert 'value of ua_overlay_toolchain must be one of: pinned, file, repository, system' in played.message()


def test_a_key_in_a_controller_file_is_detected(tmp_path):
    """keys_on_disk() detects files that the obvious modules leave for a moment only."""
    book = Playbook(tmp_path, {'all': {'hosts': {'here': {'ansible_connection': 'local'}}}})
    program = os.path.join(os.path.dirname(PROGRAM), 'ansible')
    for action in (['-m', 'copy', '-a', 'content=hskey-auth-x dest={}/target'.format(tmp_path)],
                   ['-m', 'command', '-a', 'cmd=true stdin=hskey-auth-x']):
        book.run_program([program, '-i', book.inventory, 'here'] + action + ['-e', 'ansible_pipelining=false'])
        assert os.path.exists(book.report), action
        os.unlink(book.report)
    book.run_program([program, '-i', book.inventory, 'here', '-m', 'command', '-a', 'cmd=true stdin=hskey-auth-x', '-e',
                      'ansible_pipelining=true'])
    assert not os.path.exists(book.report)
    # The target of the copy, and the log, because this task has no no_log.
    assert sorted(map(os.path.basename, book.keys_on_disk())) == ['log', 'target']


@pytest.mark.fault('case 17', 'arm64 and armv7 robots, an amd64 controller',
                   behaviour='The controller builds for each architecture once and copies the programs', reported='-',
                   recovery='-', lost='nothing')
def test_each_host_gets_programs_of_its_architecture(tmp_path):
    """The part of the role that builds and copies, on hosts that are directories of this machine. One of them has an
    architecture for which nothing is built: it alone stops."""
    # The server's is found out, as with `--tags toolchain`.
    own = os.uname().machine
    hosts = {'server': own, 'dev-1': 'aarch64', 'dev-2': 'armv7l', 'dev-3': 'aarch64', 'old': 'armv6l'}
    for host in hosts:
        (tmp_path / host / 'tools').mkdir(parents=True)
    book = Playbook(tmp_path, {'all': {
        'vars': {'ansible_connection': 'local', 'ua_overlay_programs': ['tailscale', 'tailscaled'],
                 'ua_overlay_source': ROOT},
        'hosts': {host: dict({'ua_overlay_directory': str(tmp_path / host)},
                             **({} if host == 'server' else {'ua_overlay_architecture': machine}))
                  for host, machine in hosts.items()}}})
    play = [{'hosts': 'all', 'gather_facts': False, 'tasks': [
        {'ansible.builtin.import_role': {'name': 'ua_overlay', 'tasks_from': 'toolchain_pinned'}}]}]
    (tmp_path / 'play.yml').write_text(yaml.safe_dump(play))
    played = book.play(str(tmp_path / 'play.yml'), timeout=900)
    assert played.status == 2 and played.failed == dict(dict.fromkeys(hosts, 0), old=1), played.text
    assert 'old is armv6l: ua-overlay: There are no programs for the architecture armv6l' in played.message()
    for host, machine in hosts.items():
        found = {}
        for path in (tmp_path / host / 'tools').iterdir():
            with open(str(path), 'rb') as stream:
                found[path.name] = of_program(stream.read(ELF_HEADER))
        expected = {} if host == 'old' else dict.fromkeys(('tailscale', 'tailscaled'), of_machine(machine))
        assert found == expected, host


@pytest.mark.fault('case 7', 'A site without a time service',
                   behaviour="The playbook has chrony serve the server's time and the robots follow it", reported='-',
                   recovery='-', lost='nothing')
def test_the_settings_of_the_time(tmp_path):
    """The part of the role that writes and removes them, on files of this machine."""
    files = {'server': 'pool example.test\n', 'dev-1': 'makestep 0.1 3\n'}
    wanted = {'server': 'allow\nlocal stratum 10', 'dev-1': 'server server.ua.test iburst prefer\nmakestep 1 3'}
    for host, text in files.items():
        (tmp_path / host).write_text(text)
    book = Playbook(tmp_path, {'all': {
        'vars': {'ansible_connection': 'local'},
        'hosts': {host: {'ua_overlay_chrony_file': str(tmp_path / host), 'ua_overlay_time_settings': wanted[host]}
                  for host in files}}})
    for part, changed in (('time', 1), ('time', 0), ('time_absent', 1), ('time_absent', 0)):
        tasks = os.path.join(ROOT, 'ansible', 'roles', 'ua_overlay', 'tasks', part + '.yml')
        (tmp_path / 'play.yml').write_text(yaml.safe_dump([
            {'hosts': 'all', 'gather_facts': False, 'tasks': [{'ansible.builtin.import_tasks': tasks}]}]))
        # On this machine nothing is installed or restarted.
        played = book.play(str(tmp_path / 'play.yml'), '--skip-tags', 'packages,service')
        assert played.status == 0 and set(played.changed.values()) == {changed}, played.text
        for host, text in files.items():
            now = (tmp_path / host).read_text()
            assert (wanted[host] in now) == (part == 'time') and now.startswith(text)
            assert part == 'time' or now == text


def test_the_linter_passes_in_its_strictest_profile():
    done = subprocess.run([os.path.join(os.path.dirname(PROGRAM), 'ansible-lint'), '--offline', '--strict', '--profile',
                           'production', 'site.yml'], cwd=os.path.join(ROOT, 'ansible'), stdin=subprocess.DEVNULL,
                          env={'PATH': os.path.dirname(PROGRAM) + ':/usr/bin:/bin', 'HOME': '/tmp', 'NO_COLOR': '1'},
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, timeout=300)
    assert done.returncode == 0, done.stdout
    assert '0 failure(s), 0 warning(s)' in done.stdout
    for folder, _, names in os.walk(os.path.join(ROOT, 'ansible')):
        assert not [name for name in names if 'ansible-lint' in name]  # no ignores
        for name in names:
            with open(os.path.join(folder, name), encoding='utf-8') as stream:
                assert 'noqa' not in stream.read()


def test_the_playbook_has_the_reserved_names_of_the_package():
    with open(os.path.join(ROOT, 'ansible', 'roles', 'ua_overlay', 'vars', 'main.yml'), encoding='utf-8') as stream:
        known = yaml.safe_load(stream)
    assert set(known['ua_overlay_reserved_teams']) == defaults.RESERVED_TEAMS
    assert set(known['ua_overlay_reserved_robots']) == RESERVED_ROBOTS
    assert known['ua_overlay_label'] == '^{}$'.format(LABEL.pattern.replace('?:', ''))


def test_the_example_inventory_is_valid(book):
    """It is accepted with the examples in the comments of its empty groups, and the run contacts the hosts.

    None of them exists, and a run without its server ends with a sentence.
    """
    with open(os.path.join(ROOT, 'ansible', 'inventory.example.yml'), encoding='utf-8') as stream:
        text = stream.read()
    shown = re.findall(r'^( *)hosts: \{\} +# (.*?)(?:;.*)?$', text, re.MULTILINE)
    assert len(shown) == 4
    full = re.sub(r'^( *)hosts: \{\} +# (.*?)(?:;.*)?$', r'\1hosts:\n\1  \2', text, flags=re.MULTILINE)
    sample = yaml.safe_load(full)
    sample['all']['vars'].update(UNTOUCHED)
    book.write(sample)
    played = book.run()
    assert played.status == 2 and sum(played.failed.values()) == 1, played.text
    assert 'The server server.example.org cannot be reached by ssh' in played.message()
