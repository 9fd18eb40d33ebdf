"""A site with real headscale and tailscaled: teams, invitations, robots, the peer relay."""
import os
import re
import stat
import subprocess

import pytest
from site_on_loopback import running_site

from ua_overlay.clock import utc_now
from ua_overlay.defaults import TEAM_PORT
from ua_overlay.headscale.rest import RestError
from ua_overlay.lab.wait import wait
from ua_overlay.toolchain import locate


@pytest.fixture(scope='module')
def site():
    with running_site(('iris',), ('blue',)) as made:
        yield made


@pytest.fixture(scope='module')
def iris(site):
    """Two robots of team iris that cannot go direct; the first is the master."""
    robots = []
    for name, options in (('iris-1', ('--master',)), ('iris-2', ())):
        robot = site.robot(name, relayed=True)
        result = robot.join(site.invite('iris', name, *options)[0])
        assert result.returncode == 0, result.stderr
        robots.append(robot)
    return robots


@pytest.fixture(scope='module')
def blue(site):
    robot = site.robot('blue-1')
    result = robot.join(site.invite('blue', 'blue-1')[0])
    assert result.returncode == 0, result.stderr
    return robot


@pytest.fixture
def client(site):
    return site.client()


def test_headscale_accepts_the_configuration(site):
    result = subprocess.run([locate('headscale'), '--config', os.path.join(site.directory, 'headscale.yaml'),
                             'configtest'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30)
    assert result.returncode == 0, result.stdout


def test_status_as_text_and_as_json(site):
    report = site.json('server', 'status')
    assert report['healthy'] and report['relay'] == 'up' and {'iris', 'blue'} <= set(report['teams'])
    text = site.call('server', 'status').stdout
    assert 'healthy' in text and 'https://localhost:{}'.format(site.port) in text


def test_an_invitation_is_a_private_file_with_the_given_settings(site):
    made, path = site.invite('iris', 'iris-9', '--master', '--expires', '2h')
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert (made.team, made.robot, made.master, made.team_port) == ('iris', 'iris-9', True, TEAM_PORT)
    assert made.server_url == 'https://localhost:{}'.format(site.port)
    assert (made.expires - made.created).total_seconds() == 7200
    with open(os.path.join(site.directory, 'ca.pem'), encoding='ascii') as stream:
        assert made.ca_pem.strip() == stream.read().strip()


def test_no_output_or_log_contains_the_key(site):
    made, path = site.invite('iris', 'iris-8')
    result = site.call('invite', 'iris', 'iris-8', '--output', path, '--overwrite')
    assert 'hskey' not in result.stdout + result.stderr and 'hskey' not in site.output()
    piped = site.call('invite', 'iris', 'iris-8', '--output', '-').stdout
    assert re.search(r'^key: "?hskey-auth-', piped, re.M)
    for folder, _, names in os.walk(os.path.join(site.directory, 'log')):
        for name in names:
            with open(os.path.join(folder, name), encoding='utf-8', errors='replace') as stream:
                assert made.key not in stream.read()


def test_an_existing_file_is_not_overwritten(site):
    _, path = site.invite('iris', 'iris-7')
    with open(path, encoding='utf-8') as stream:
        before = stream.read()
    result = site.call('invite', 'iris', 'iris-7', '--output', path, check=False)
    assert result.returncode == 1 and 'exists already' in result.stderr
    with open(path, encoding='utf-8') as stream:
        assert stream.read() == before


@pytest.mark.fault('new', 'The file of an invitation cannot be written', behaviour='The command revokes its key',
                   reported='at once: invite', recovery='-', lost='nothing')
def test_an_invitation_that_cannot_be_written_is_revoked(site, client):
    def open_keys():
        return {key.id for key in client.keys() if key.usable(utc_now())}

    before = open_keys()
    result = site.call('invite', 'iris', 'iris-7', '--output', '/nonexistent/x.yaml', check=False)
    assert result.returncode == 1 and '/nonexistent/x.yaml' in result.stderr
    assert open_keys() == before


def test_robots_join_and_are_listed(site, iris):
    robots = {row['robot']: row for row in site.json('robot', 'list', '--team', 'iris')}
    assert set(robots) == {'iris-1', 'iris-2'}
    assert robots['iris-1']['master'] and not robots['iris-2']['master']
    assert robots['iris-1']['addresses'][0] == iris[0].address()
    assert all(row['online'] and row['expiry'] is None for row in robots.values())
    assert robots['iris-1']['dns_name'] == iris[0].status()['Self']['DNSName'].rstrip('.')
    teams = {row['team']: row for row in site.json('team', 'list')}
    assert (teams['iris']['robots'], teams['iris']['online'], teams['iris']['masters']) == (2, 2, ['iris-1'])


def test_the_master_moves_and_the_robots_follow(site, iris):
    def tags():
        """Tags of iris-1 and iris-2, as iris-1 knows them."""
        status = iris[0].status()
        peer = next(peer for peer in status['Peer'].values() if peer['DNSName'].startswith('iris-2.'))
        return [sorted(node.get('Tags') or ()) for node in (status['Self'], peer)]

    both = ['tag:iris', 'tag:ros-master']
    said = site.call('team', 'master', 'iris', 'iris-2').stdout
    assert said == 'iris-2 is now the master of team iris; it was iris-1.\n'
    wait('the moved tag on a robot', lambda: tags() == [['tag:iris'], both], 60)
    assert 'already' in site.call('team', 'master', 'iris', 'iris-2').stdout
    assert {row['team']: row['masters'] for row in site.json('team', 'list')}['iris'] == ['iris-2']
    result = site.call('team', 'master', 'iris', 'blue-1', check=False)
    assert result.returncode == 1 and 'has no robot blue-1 (robots: iris-1, iris-2)' in result.stderr
    site.call('team', 'master', 'iris', 'iris-1')
    wait('the tag back', lambda: tags() == [both, ['tag:iris']], 60)


def test_the_relay_carries_traffic_between_robots_that_cannot_go_direct(site, iris):
    target = iris[1].address()

    def through_relay():
        result = iris[0].tailscale('ping', '-c', '3', target)
        # By any address of this machine: the one that answers first.
        return re.search(r'via peer-relay\([0-9.]+:{}:'.format(site.relay_port), result.stdout)

    wait('a path through the peer relay', through_relay, 180)
    # TSMP travels inside WireGuard: this is data, not path discovery.
    wait('data through the peer relay',
         lambda: 'pong' in iris[0].tailscale('ping', '--tsmp', '-c', '3', target).stdout, 60)


def test_teams_do_not_see_each_other(site, iris, blue):
    wait('iris-2 as a peer of iris-1', lambda: 'iris-2' in iris[0].peers())
    assert iris[0].peers() == {'iris-2', 'relay'}
    assert blue.peers() == {'relay'}
    result = blue.tailscale('ping', '--tsmp', '-c', '1', '--timeout', '2s', iris[0].address())
    assert result.returncode != 0 and 'pong' not in result.stdout


def test_an_invitation_works_once(site):
    made, _ = site.invite('blue', 'blue-2')
    first, second = site.robot('blue-2'), site.robot('blue-2b')
    assert first.join(made).returncode == 0
    again = second.join(made)
    assert again.returncode != 0 and 'authkey already used' in again.stderr


def test_the_name_of_an_existing_robot_is_refused(site, blue):
    result = site.call('invite', 'iris', 'blue-1', '--overwrite', check=False)
    assert result.returncode == 1 and 'blue-1-1' in result.stderr and 'team blue' in result.stderr
    made, _ = site.invite('iris', 'blue-1', '--force')
    assert made.robot == 'blue-1'


@pytest.mark.parametrize('arguments, status, words', [
    (('invite', 'red', 'x'), 1, ('no team red', 'team create red')),
    (('invite', 'iris', 'Dev_1'), 2, ('Dev_1',)),
    (('invite', 'iris', 'x', '--expires', '5'), 2, ('between one minute and 90 days',)),
    (('team', 'create', 'iris'), 1, ('exists already',)),
    (('team', 'create', 'relay'), 2, ('reserved',)),
    (('team', 'remove', 'red'), 1, ('no team red', 'blue, iris')),
    (('robot', 'remove', 'nobody'), 1, ('no robot nobody',)),
    (('robot', 'list', '--team', 'red'), 1, ('no team red',)),
    (('server', 'run'), 1, ('runs already',)),
    (('server', 'init', '--name', 'localhost'), 1, ('holds a site already',)),
])
def test_refusals_name_the_invalid_value(site, arguments, status, words):
    result = site.call(*arguments, check=False)
    assert result.returncode == status
    assert all(word in result.stderr for word in words), result.stderr


def test_a_team_with_robots_cannot_be_removed(site, iris):
    result = site.call('team', 'remove', 'iris', check=False)
    assert result.returncode == 1 and 'iris-1, iris-2' in result.stderr
    assert 'iris' in [row['team'] for row in site.json('team', 'list')]


def test_a_removed_robot_is_logged_out_and_its_name_is_free(site, client):
    robot = site.robot('blue-3')
    assert robot.join(site.invite('blue', 'blue-3')[0]).returncode == 0
    assert 'blue-3' in site.call('robot', 'remove', 'blue-3').stdout
    wait('the robot to notice', lambda: robot.status()['BackendState'] == 'NeedsLogin')
    assert 'blue-3' not in [node.name for node in client.nodes()]
    # The same daemon rejoins under its name with a new invitation.
    assert robot.join(site.invite('blue', 'blue-3')[0]).returncode == 0
    assert robot.status()['Self']['DNSName'].split('.')[0] == 'blue-3'


def test_removing_a_team_revokes_its_invitations(site):
    site.call('team', 'create', 'green', '--team-port', '11400', '--addressing', 'addresses')
    made, _ = site.invite('green', 'green-1')
    assert (made.team_port, made.addressing) == (11400, 'addresses')
    assert '1 unused invitation(s) revoked' in site.call('team', 'remove', 'green').stdout
    result = site.robot('green-1').join(made)
    assert result.returncode != 0 and 'authkey expired' in result.stderr
    assert 'green' not in [row['team'] for row in site.json('team', 'list')]


@pytest.mark.fault('new', 'Somebody edits policy.json', behaviour='`policy apply` writes it again', reported='-',
                   recovery='at once: policy apply', lost='nothing')
def test_a_policy_file_that_was_edited_is_written_again(site):
    path = os.path.join(site.directory, 'policy.json')
    with open(path, 'w', encoding='ascii') as stream:
        stream.write('{"grants": [{"src": ["tag:unknown"], "dst": ["*"], "ip": ["*"]}]}')
    assert 'are in force' in site.call('policy', 'apply').stdout
    with open(path, encoding='ascii') as stream:
        assert 'tag:unknown' not in stream.read()


def test_headscale_checks_a_policy_before_it_is_written(client):
    with pytest.raises(RestError, match='tag:unknown'):
        client.check_policy('{"grants": [{"src": ["tag:unknown"], "dst": ["*"], "ip": ["*"]}]}')


@pytest.mark.fault('new', 'The API key is lost or refused', behaviour='The next command makes another', reported='-',
                   recovery='at once', lost='nothing')
def test_a_lost_or_refused_api_key_is_replaced(site):
    path = os.path.join(site.directory, 'api.key')
    with open(path, encoding='ascii') as stream:
        old = stream.read()
    for damage in (lambda: os.unlink(path), lambda: open(path, 'w').write('hskey-api-aaaaaaaaaaaa-' + 64 * 'b')):
        damage()
        assert site.json('robot', 'list') is not None
        with open(path, encoding='ascii') as stream:
            new = stream.read()
        assert new.startswith('hskey-api-') and new != old
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_no_secret_in_an_argument_or_the_environment_of_a_process(site, iris):
    pids = [site.server.pid] + list(site.processes().values())
    for pid in pids:
        for name in ('cmdline', 'environ'):
            with open('/proc/{}/{}'.format(pid, name), 'rb') as stream:
                assert b'hskey-' not in stream.read()


def test_only_the_owner_can_read_the_site(site):
    assert stat.S_IMODE(os.stat(site.directory).st_mode) == 0o700
