"""The policy on a real Headscale: what is in force, what is refused, which robots reach each other, what one may do."""
import json
import os
import signal
import subprocess
import threading
import time

import pytest
from site_on_loopback import closed, free_ports, opens, port_outside_the_ephemeral_range, running_site

from ua_overlay.defaults import ADMISSION_MEMORY
from ua_overlay.headscale import policy
from ua_overlay.lab import timeouts
from ua_overlay.lab.wait import wait
from ua_overlay.site.site import Site
from ua_overlay.tags import memory_fact

TEAM_PORT = port_outside_the_ephemeral_range()


@pytest.fixture(scope='module')
def site():
    with running_site(*[(team, '--team-port', str(TEAM_PORT)) for team in ('iris', 'blue')], room='96m') as made:
        yield made


@pytest.fixture(scope='module')
def robots(site):
    """dict name -> Robot: iris-1, iris-2 and blue-1, which have joined."""
    found = {}
    for name in ('iris-1', 'iris-2', 'blue-1'):
        robot = found[name] = site.robot(name)
        result = robot.join(site.invite(name.split('-')[0], name)[0])
        assert result.returncode == 0, result.stderr
    return found


@pytest.fixture
def client(site):
    return site.client()


@pytest.fixture
def edited(site):
    """Function(old, new) that changes the text of site.yaml; the text before is restored and in force afterwards."""
    path = os.path.join(site.directory, 'site.yaml')
    with open(path, encoding='utf-8') as stream:
        before = stream.read()

    def edit(old, new):
        assert old in before
        with open(path, 'w', encoding='utf-8') as stream:
            stream.write(before.replace(old, new))

    yield edit
    with open(path, 'w', encoding='utf-8') as stream:
        stream.write(before)
    site.call('policy', 'apply')


def policy_file(site):
    with open(os.path.join(site.directory, 'policy.json'), encoding='utf-8') as stream:
        return stream.read()


def test_headscale_tests_the_policy_for_the_teams_that_have_robots(site, robots):
    wait('tests of both teams', lambda: '"tag:blue:22"' in policy_file(site), 60)
    assert site.call('policy', 'check').stdout.count('has tested') == 1
    assert site.json('policy', 'show')['in_force'] is True


def test_the_policy_in_force_is_read_back(site, robots, client):
    made = policy.make_policy(Site.load(site.directory).rules)
    node = client.nodes()[0]
    wanted = {policy.marker(made), 'tag:iris'}
    assert client.known_tags(node.id, wanted | {'tag:policy-0123456789abcdef'}) == wanted
    assert next(each for each in client.nodes() if each.id == node.id).tags == node.tags


def test_rules_between_teams_have_a_direction(site, robots, edited):
    blue, iris = robots['blue-1'], robots['iris-1']
    assert closed(blue, iris, TEAM_PORT) and opens(robots['iris-2'], iris, TEAM_PORT)
    edited('talk: []', 'talk: [{from: blue, to: iris}]')
    assert site.json('policy', 'show')['in_force'] is False
    assert 'policy apply' in site.call('policy', 'check').stdout
    assert closed(blue, iris, TEAM_PORT)
    assert 'are in force' in site.call('policy', 'apply').stdout
    wait('blue-1 to see iris-1', lambda: 'iris-1' in blue.peers(), 30)
    wait('blue-1 to reach the roscore of iris', lambda: opens(blue, iris, TEAM_PORT, 10), 60)
    node, other = free_ports()[0], port_outside_the_ephemeral_range()
    assert opens(blue, iris, node) and opens(iris, blue, node)
    assert closed(iris, blue, TEAM_PORT) and closed(blue, iris, other)


def test_a_team_that_opens_only_what_ros_needs(site, robots, edited):
    edited('    port: {}\n    addressing: names\n'.format(TEAM_PORT),
           '    port: {}\n    addressing: names\n    inside: [ros, ssh]\n'.format(TEAM_PORT))
    site.call('policy', 'apply')
    one, other = robots['iris-1'], robots['iris-2']
    any_port = port_outside_the_ephemeral_range()
    wait('other ports to be closed', lambda: closed(one, other, any_port), 60)
    assert opens(one, other, TEAM_PORT) and opens(other, one, free_ports()[0])
    # docs/operate.md: an echo request passes wherever any port is open.
    assert one.tailscale('ping', '--icmp', '--c=1', other.address()).returncode == 0


@pytest.mark.fault('new', 'site.yaml is invalid',
                   behaviour='policy check, policy apply and SIGHUP refuse it with the reason; the rules in force stay',
                   reported="at once: policy check; 30 s: the server's log", recovery='-', lost='nothing')
@pytest.mark.parametrize('old, new, words', [
    ('talk: []', 'talk: [{from: iris, to: ghost}]', 'team ghost'),
    ('talk: []', 'talk: []\ncolour: red', 'unknown field colour'),
    ('  iris:', '  blue:', 'blue is there twice'),
    ('port: TEAM_PORT', 'port: 70000', '70000'),
    ('teams:', 'teams: [', 'not YAML'),
])
def test_an_invalid_edit_is_refused_with_a_sentence_and_changes_nothing(site, robots, edited, old, new, words):
    before = policy_file(site)
    # Not in the parameter: the port differs between processes, and the name of a test must not.
    edited(old.replace('TEAM_PORT', str(TEAM_PORT)), new)
    # `show` still shows what is in force: a warning, not an error.
    for command, status in (('check', 2), ('apply', 2), ('show', 4)):
        result = site.call('policy', command, check=False)
        assert result.returncode == status and words in result.stderr and 'Next: edit' in result.stderr, result.stderr
    site.server.send_signal(signal.SIGHUP)
    wait('The refusal of the server', lambda: any(
        'of site.yaml was not applied: ' in line and words in line for line in site.output().splitlines()), 30)
    assert policy_file(site) == before
    assert opens(robots['iris-2'], robots['iris-1'], TEAM_PORT)


@pytest.mark.fault('new', 'A policy opens a port that no rule of site.yaml grants', behaviour='Headscale refuses it',
                   reported='at once', recovery='-', lost='nothing')
def test_headscale_itself_refuses_a_policy_that_fails_its_tests(site, robots, client):
    made = policy.make_policy(Site.load(site.directory).rules, {'tag:iris', 'tag:blue'})
    made['grants'].append({'src': ['tag:blue'], 'dst': ['tag:iris'], 'ip': ['tcp:22']})
    with pytest.raises(Exception, match='expected DENIED, got ALLOWED'):
        client.check_policy(policy.dump_policy(made))


@pytest.mark.fault('new', 'The server starts with an invalid site.yaml',
                   behaviour='It runs with its last good settings and exits with status 4 in server status',
                   reported='at once: server status, server check', recovery='60 s: robots', lost='nothing')
def test_a_server_that_starts_with_an_invalid_file_uses_the_last_good_settings(site, robots, edited):
    edited('talk: []', 'talk: [{from: blue, to: iris}]')
    site.call('policy', 'apply')
    assert site.call('server', 'status').returncode == 0
    # An edit that was never applied: the server restores what was in force, not what was written.
    edited('talk: []', 'talk: [{from: blue, to: ghost}]')
    assert site.call('server', 'status', check=False).returncode == 4
    assert site.stop()[1] == 0
    site.start()
    assert 'names the team ghost' in site.output() and 'last good settings' in site.output()
    shown = site.call('server', 'status', check=False)
    assert shown.returncode == 4 and 'healthy' in shown.stdout and 'team ghost' in shown.stderr
    assert 'team ghost' in site.json('server', 'status', check=False)['site_file']
    wait('robots that are back', lambda: site.json('server', 'status', check=False)['robots_online'] == 3, 60)
    rules = site.json('policy', 'show', check=False)
    assert rules['in_force'] is True and {'from': 'blue', 'to': 'iris', 'opens': [
        'ros ({}, 32768-60999)'.format(TEAM_PORT), 'ping']} in rules['rules']
    blue, iris = robots['blue-1'], robots['iris-1']
    wait('blue-1 to reach the roscore of iris', lambda: opens(blue, iris, TEAM_PORT, 10), 90)
    # The site works: it lists and invites robots, and makes a backup. It refuses commands that edit site.yaml.
    assert 'dev-9' in site.call('invite', 'blue', 'dev-9', '--output', os.path.join(site.base, 'dev-9.yaml')).stdout
    assert site.call('robot', 'list').returncode == 0
    site.call('server', 'backup', '--output', os.path.join(site.base, 'broken.backup'))
    assert site.call('team', 'create', 'red', check=False).returncode == 2
    assert site.call('policy', 'apply', check=False).returncode == 2
    assert 'team ghost' in site.call('server', 'check', check=False).stdout
    edited('talk: []', 'talk: [{from: iris, to: blue}]')
    site.call('policy', 'apply')
    assert site.call('server', 'status').returncode == 0
    assert site.json('policy', 'show')['in_force'] is True


def test_a_robot_has_only_the_capabilities_it_needs(site, robots):
    caps = set(robots['iris-1'].status()['Self']['CapMap'])
    # Headscale always gives the first two: is-admin only changes a health message of tailscaled, and ssh lets the owner
    # start an SSH server that no policy opens. The others remove abilities.
    assert caps == {'https://tailscale.com/cap/is-admin', 'https://tailscale.com/cap/ssh', 'default-auto-update',
                    'disable-captive-portal-detection', 'disable-web-client', 'disable-relay-server',
                    # Keeps its network map, for a start without the server.
                    'cache-network-maps', memory_fact(ADMISSION_MEMORY),
                    # The settings of its team.
                    'ua-overlay:team-port={}'.format(TEAM_PORT), 'ua-overlay:addressing=names'}
    assert robots['iris-1'].status()['Self']['CapMap']['default-auto-update'] == [False]


def said_to_be_in_force(site, robots, closed_now=True):
    """Compare what each command says about the rules of site.yaml with a real connection; return whether they are in
    force. ``closed_now``: what the connection of blue-1 to the roscore of iris-1 has to be."""
    shown = site.json('policy', 'show')['in_force']
    status = site.call('server', 'status', check=False)
    check = site.call('server', 'check', check=False).stdout
    assert (status.returncode == 0) is shown and ('policy at this machine failed' in check) is (not shown)
    assert (closed if closed_now else opens)(robots['blue-1'], robots['iris-1'], TEAM_PORT)
    return shown


def headscale(site):
    return site.processes()['headscale']


#: Where Headscale stops or ends while `policy apply` waits for it.
RELOADED = 'Policy reload completed'


@pytest.mark.fault('K2', 'Headscale stops for 7 s after it has reloaded its policy', behaviour='policy apply waits, '
                   'or fails and puts the previous rules back; it says which', reported='15 s', recovery='at once',
                   lost='nothing')
def test_a_headscale_that_stops_after_its_reload(site, robots, edited):
    edited('talk: []', 'talk: [{from: blue, to: iris}]')
    pid = headscale(site)
    go_on = threading.Timer(7, os.kill, (pid, signal.SIGCONT))

    def stop():
        os.kill(pid, signal.SIGSTOP)
        go_on.start()

    with site.at_line(RELOADED, stop) as stopped:
        failed = site.call('policy', 'apply', check=False)
    go_on.join()
    assert stopped.is_set()
    # Whether it had taken the next request before it stopped decides which of the two happens.
    applied = failed.returncode == 0
    assert ('are in force.' in failed.stdout) is applied
    assert ('The previous rules are in force' in failed.stderr) is not applied, failed.stderr
    assert said_to_be_in_force(site, robots, closed_now=not applied) is applied
    # It compares with what Headscale runs, not with what it remembers of the failure.
    assert 'are in force' + (' already' if applied else '.') in site.call('policy', 'apply').stdout
    assert said_to_be_in_force(site, robots, closed_now=False) is True


@pytest.mark.fault('K2', 'Headscale stops for longer than policy apply waits, after it has reloaded its policy',
                   behaviour='policy apply fails, and says that the rules in force are unknown', reported='30 s',
                   recovery='10 s after it goes on: the previous rules are in force', lost='nothing')
def test_a_headscale_that_does_not_answer_for_long_leaves_the_rules_unknown(site, robots, edited):
    edited('talk: []', 'talk: [{from: blue, to: iris}]')
    pid = headscale(site)
    with site.at_line(RELOADED, lambda: os.kill(pid, signal.SIGSTOP)) as stopped:
        failed = site.call('policy', 'apply', check=False)
    try:
        assert stopped.is_set() and 'Which rules are in force is unknown' in failed.stderr, failed.stderr
        assert site.control()['policy']['kind'] == 'unknown'
        assert site.call('server', 'status', check=False).returncode == 1
    finally:
        os.kill(pid, signal.SIGCONT)
    wait('the server to put its rules back', lambda: site.control()['policy']['kind'] == 'in force', 30)
    assert said_to_be_in_force(site, robots) is False


@pytest.mark.fault('K2', 'Headscale is killed after it has reloaded its policy', behaviour='policy apply fails; '
                   'Headscale starts with the previous rules', reported='at once', recovery='10 s', lost='nothing')
def test_a_headscale_that_is_killed_after_its_reload(site, robots, edited):
    edited('talk: []', 'talk: [{from: blue, to: iris}]')
    pid = headscale(site)
    with site.at_line(RELOADED, lambda: os.kill(pid, signal.SIGKILL)) as killed:
        failed = site.call('policy', 'apply', check=False)
    assert killed.is_set() and failed.returncode == 1 and 'in force' in failed.stderr
    wait('the server to know its rules', lambda: site.control()['policy']['kind'] == 'in force', 60)
    wait('robots that are back', lambda: site.is_online('blue-1') and site.is_online('iris-1'), 60)
    assert said_to_be_in_force(site, robots) is False


@pytest.mark.fault('K2', 'Somebody edits policy.json and lets Headscale read it', behaviour='the server writes its own '
                   'rules and lets Headscale read them', reported='at once: policy show, server status, server check',
                   recovery='10 s', lost='nothing')
def test_a_policy_of_somebody_else_is_replaced(site, robots):
    opened = {'src': ['*'], 'dst': ['*'], 'ip': ['*']}
    text = policy_file(site)
    edited = json.loads(text)
    edited['grants'].append(opened)
    edited.pop('tests', None)
    with site.at_line(RELOADED, lambda: None) as reloaded:
        with open(os.path.join(site.directory, 'policy.json'), 'w', encoding='utf-8') as stream:
            json.dump(edited, stream)
        os.kill(headscale(site), signal.SIGHUP)
        assert reloaded.wait(20)
    wait('the rules of the site', lambda: policy_file(site) == text and site.control()['policy']['kind'] == 'in force',
         30)
    assert said_to_be_in_force(site, robots) is True


@pytest.mark.fault('K7', 'Another program locks the database of Headscale', behaviour='a change fails and names that '
                   'program; nothing changes', reported='15 s: the command', recovery='once that program has ended',
                   lost='nothing')
@pytest.mark.fault('K2', 'The database is locked during user set', behaviour='nothing changes', reported='15 s: the '
                   'command', recovery='once it is free', lost='nothing')
def test_a_locked_database_is_named_with_who_locks_it(site, robots):
    with open(os.path.join(site.directory, 'site.yaml'), encoding='utf-8') as stream:
        before = stream.read()
    with site.locked_database() as holder:
        failed = site.call('user', 'set', 'bob', '--teams', 'iris', check=False)
        assert failed.returncode == 1 and 'its database is locked by python' in failed.stderr, failed.stderr
        assert 'does not answer on this machine' not in failed.stderr
        # The advice, typed.
        advice = failed.stderr.rsplit('Next: ', 1)[1].strip()
        assert advice == 'kill {}'.format(holder.pid)
        with open(os.path.join(site.directory, 'site.yaml'), encoding='utf-8') as stream:
            assert stream.read() == before
        # Rules without a new user need no database: they come into force all the same.
        subprocess.run(advice.split(), check=True)
        holder.wait(10)
    assert said_to_be_in_force(site, robots) is True
    site.call('user', 'set', 'bob', '--teams', 'iris')
    site.call('user', 'remove', 'bob')


@pytest.mark.fault('K2', 'The disk is full at policy apply', behaviour='nothing changes', reported='at once',
                   recovery='with the next policy apply after there is room', lost='nothing')
def test_a_full_disk_changes_no_rules(site, robots, edited):
    edited('talk: []', 'talk: [{from: blue, to: iris}]')
    before = policy_file(site)
    with site.full():
        failed = site.call('policy', 'apply', check=False)
        assert failed.returncode == 1 and 'was not written' in failed.stderr and 'is full' in failed.stderr
        assert 'Next: df -h' in failed.stderr and policy_file(site) == before
    assert said_to_be_in_force(site, robots) is False
    assert 'are in force.' in site.call('policy', 'apply').stdout
    assert said_to_be_in_force(site, robots, closed_now=False) is True
    assert not [name for name in os.listdir(site.directory) if name.startswith('.')]


@pytest.mark.fault('K7', 'A robot is removed while it is connected', behaviour='the command waits until the robot was '
                   'told', reported='10 s', recovery='-', lost='nothing')
def test_a_connected_robot_is_removed_as_soon_as_it_was_told(site, robots):
    robot = robots['extra'] = site.robot('iris-9')
    assert robot.join(site.invite('iris', 'iris-9')[0]).returncode == 0
    wait('iris-9 to be online', lambda: site.is_online('iris-9'), 30)
    began = time.monotonic()
    site.call('robot', 'remove', 'iris-9')
    # Before: 22 s. The command itself takes a second on an idle machine, and its longest wait 5 s.
    assert time.monotonic() - began < timeouts.scaled(10)
    wait('iris-9 to know it', lambda: robot.status()['BackendState'] == 'NeedsLogin', 5)
    assert 'iris-9' not in {node.name for node in site.client().nodes()}
    robot.kill()


def test_a_team_without_robots_is_no_longer_tested(site, robots):
    site.call('robot', 'remove', 'blue-1')
    wait('no tests of blue', lambda: '"tag:blue:22"' not in policy_file(site), 60)
    assert '"tag:iris:22"' in policy_file(site) and site.json('policy', 'show')['in_force'] is True
    site.call('policy', 'check')


@pytest.mark.fault('K3', "The server's disk fills up while it runs", behaviour='Headscale and the relay go on, a '
                   'restart works; log lines are dropped', reported='at once: server status',
                   recovery='when there is room', lost='log lines')
def test_a_full_disk_ends_no_process_of_the_server(site, robots, client):
    """The last test of this file: it restarts the server. Headscale writes a line for each request."""
    before = site.processes()
    with site.full():
        for _ in range(60):
            assert client.health()
        assert site.processes() == before
        status = site.call('server', 'status', check=False)
        full = 'he file system {} is full.'.format(site.base)
        assert status.returncode == 4 and 'T' + full in status.stderr
        assert 'cannot be written: t{} Its lines are dropped.'.format(full) in status.stderr
    wait('room for the log', lambda: not site.control()['log_problems'] or not client.health(), 30)
    with open(os.path.join(site.directory, 'log', 'headscale.log'), encoding='utf-8', errors='replace') as stream:
        assert 'line(s) are missing here.' in stream.read()
    with site.full():
        assert site.stop()[1] == 0
        site.start(relay=False)
        assert robots['iris-1'].name in site.online() or wait('iris-1 to be back', lambda: site.is_online('iris-1'), 60)
    assert site.call('server', 'status', check=False).returncode == 0
