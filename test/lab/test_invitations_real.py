"""Invitations on a real Headscale with real tailscaleds: batches, revocation, expiry, a CA by its SHA-256, users."""
import json
import os
import shlex
import stat
import subprocess
import sys

import pytest
from site_on_loopback import (
    COMMAND,
    closed,
    free_ports,
    opens,
    port_outside_the_ephemeral_range,
    running_site,
)

from ua_overlay.cli.shared.site import make_inviter
from ua_overlay.lab.wait import wait
from ua_overlay.site.inviter import Invitee
from ua_overlay.site.site import Site
from ua_overlay.toolchain import locate
from ua_overlay.trust import ca_pin, invitation_file

TEAM_PORT = port_outside_the_ephemeral_range()


@pytest.fixture(scope='module')
def site():
    with running_site(('iris', '--team-port', str(TEAM_PORT))) as made:
        yield made


def join(site, robot, path, *options):
    """`ua-overlay join` on a robot; returns CompletedProcess."""
    return subprocess.run(
        [sys.executable, COMMAND, 'join', path, '--socket', robot.socket, '--state-dir', robot.directory,
         '--ca', os.path.join(site.directory, 'ca.pem'), '--timeout', '60'] + list(options),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)


def row(site, robot):
    return [each for each in site.json('invite', 'list') if each['machine'] == robot][-1]


@pytest.mark.fault('new', 'One name of a batch of invitations is invalid', behaviour='No invitation is made',
                   reported='at once: invite', recovery='-', lost='nothing')
def test_a_batch_is_all_or_nothing_and_each_invitation_works_once(site):
    folder = os.path.join(site.base, 'out')
    os.mkdir(folder, 0o700)
    with open(os.path.join(site.base, 'robots'), 'w') as stream:
        stream.write('dev-1 master\ndev-2  # the spare\n')
    refused = site.call('invite', 'iris', 'Dev', '--batch', os.path.join(site.base, 'robots'), '--output-dir', folder,
                        check=False)
    assert refused.returncode == 2 and os.listdir(folder) == [] and site.json('invite', 'list') == []

    made = site.json('invite', 'iris', '--batch', os.path.join(site.base, 'robots'), '--output-dir', folder)
    assert [each['robot'] for each in made] == ['dev-1', 'dev-2']
    assert all(stat.S_IMODE(os.stat(each['file']).st_mode) == 0o600 for each in made)
    assert [each['state'] for each in site.json('invite', 'list')] == ['open', 'open']

    robot = site.robot('dev-1')
    assert join(site, robot, made[0]['file']).returncode == 0
    used = row(site, 'dev-1')
    assert (used['state'], used['used_by'], used['master']) == ('used', 'dev-1', True) and used['used_at']
    assert [each['machine'] for each in site.json('invite', 'list', '--open')] == ['dev-2']
    # No other machine can use it now, and it cannot be revoked.
    again = join(site, site.robot('thief'), made[0]['file'], '--json')
    assert again.returncode == 1 and 'INVITATION_SPENT' in again.stdout
    assert 'used by dev-1' in site.call('invite', 'revoke', 'dev-1', check=False).stderr
    # Its use stays in the log when the node is removed and Headscale has forgotten it.
    wait('the use to be in the log', lambda: '"used"' in log_of(site), 60)
    site.call('robot', 'remove', 'dev-1')
    assert row(site, 'dev-1')['used_by'] == 'dev-1' and row(site, 'dev-1')['used_at']


def log_of(site):
    path = os.path.join(site.directory, 'invitations.log')
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    with open(path) as stream:
        text = stream.read()
    assert 'hskey' not in text
    return text


def test_a_revoked_invitation_is_refused(site):
    _, path = site.invite('iris', 'dev-3')
    assert 'Revoked invitation' in site.call('invite', 'revoke', 'dev-3').stdout
    refused = join(site, site.robot('dev-3'), path, '--json')
    assert refused.returncode == 1 and 'INVITATION_REFUSED' in refused.stdout, refused.stdout
    assert row(site, 'dev-3')['state'] == 'revoked'
    assert 'dev-3' not in [each['robot'] for each in site.json('robot', 'list')]


@pytest.mark.fault('new', 'A robot with a wrong clock uses an expired invitation', behaviour='The server refuses it',
                   reported='by join', recovery='-', lost='nothing')
def test_the_server_refuses_an_expired_invitation_whatever_the_clock_of_the_machine(site):
    invitation, _ = make_inviter(Site.load(site.directory)).invite([Invitee('dev-4', False)], 1, 'iris')[0]
    wait('its end', lambda: row(site, 'dev-4')['state'] == 'expired', 30)
    refused = site.robot('dev-4').join(invitation)     # `tailscale up`: without the check of our own command
    assert refused.returncode != 0 and 'authkey expired' in refused.stderr
    path = os.path.join(site.base, 'late')
    invitation_file.write(path, invitation)
    assert 'INVITATION_EXPIRED' in join(site, site.robots[-1], path, '--json').stdout


def test_a_ca_by_its_sha256(site):
    made, path = site.invite('iris', 'dev-5', '--ca-sha256')
    assert made.ca_pem == '' and os.path.getsize(path) < 1000
    with open(os.path.join(site.directory, 'ca.pem')) as stream:
        ca_pem = stream.read()
    assert ca_pin.ca_of(made).strip() == ca_pem.strip()
    with pytest.raises(Exception, match='does not show the CA'):
        ca_pin.fetch(made.server_url, '0' * 64)
    assert join(site, site.robot('dev-5'), path).returncode == 0


@pytest.mark.fault('case 21', 'A laptop with a stock client, on which this package does not run',
                   behaviour='`invite unpack` writes the CA and the key; `tailscale login` joins with them',
                   reported='-', recovery='-', lost='nothing')
def test_a_stock_client_joins_with_the_commands_of_unpack(site):
    site.call('user', 'set', 'zoe', '--teams', 'iris')
    invited = os.path.join(site.base, 'windows.yaml')
    site.call('invite', '--user', 'zoe', 'windows', '--output', invited)
    done = subprocess.run([sys.executable, COMMAND, 'invite', 'unpack', invited, '--output-dir', site.base, '--json'],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=60, check=True)
    answer = json.loads(done.stdout)
    with open(answer['ca']) as stream:
        # The first command makes the system trust it; here tailscaled's environment does.
        laptop = site.robot('windows', trust=stream.read())
    command = shlex.split(answer['commands']['Windows'][1])
    assert command[0] == 'tailscale'
    joined = subprocess.run([locate('tailscale'), '--socket=' + laptop.socket] + command[1:], cwd=site.base, text=True,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    assert joined.returncode == 0, joined.stdout
    assert row(site, 'windows')['used_by'] == 'windows' and laptop.status()['Self']['Online']
    site.call('robot', 'remove', 'windows')
    site.call('user', 'remove', 'zoe')


def test_a_user_s_laptop_reaches_the_robots_of_its_teams(site):
    unknown = site.call('invite', '--user', 'ana', 'laptop-1', check=False)
    assert unknown.returncode == 1 and 'user set ana' in unknown.stderr
    path = os.path.join(site.directory, 'site.yaml')
    with open(path) as stream:
        text = stream.read()
    with open(path, 'w') as stream:
        stream.write(text.replace('users: {}', 'users: {ana: {teams: [iris]}, bob: }'))
    # Before Headscale has these users: it checks the policy as at its start, and they must not make a restart fail.
    assert 'Headscale accepts the policy' in site.call('policy', 'check').stdout
    assert 'are in force' in site.call('policy', 'apply').stdout
    robot = site.robot('dev-6')
    assert join(site, robot, site.invite('iris', 'dev-6')[1]).returncode == 0

    file = os.path.join(site.base, 'laptop')
    site.call('invite', '--user', 'ana', 'laptop-1', '--output', file)
    laptop = site.robot('laptop-1')
    joined = join(site, laptop, file)
    assert joined.returncode == 0 and 'joined the group of user ana' in joined.stdout, joined.stdout + joined.stderr
    assert 'ALREADY_JOINED' in join(site, laptop, file, '--json').stdout
    assert row(site, 'laptop-1')['used_by'] == 'laptop-1' and row(site, 'laptop-1')['user'] == 'ana'
    # A robot has the settings of its team as well.
    assert set(laptop.status()['Self']['CapMap']) == {
        cap for cap in robot.status()['Self']['CapMap'] if not cap.startswith('ua-overlay:') or ':memory=' in cap}
    wait('the laptop to reach the roscore', lambda: opens(laptop, robot, TEAM_PORT, 10), 90)
    # ROS nodes connect back to the laptop; no other port is open.
    assert opens(robot, laptop, free_ports()[0]) and closed(robot, laptop, TEAM_PORT)
    wait('tests of the laptop', lambda: '"ana@"' in site.call('policy', 'show', '--headscale').stdout.split(
        '"tests"')[-1], 60)
    assert site.json('policy', 'show')['in_force'] is True

    # It does not use up an invitation of a team, and a user without teams reaches no robot.
    other = join(site, laptop, site.invite('iris', 'dev-7')[1], '--json')
    assert 'OTHER_TEAM' in other.stdout and row(site, 'dev-7')['state'] == 'open'
    site.call('invite', '--user', 'bob', 'laptop-2', '--output', file, '--overwrite')
    second = site.robot('laptop-2')
    assert join(site, second, file).returncode == 0
    assert second.peers() <= {'relay'}
    assert [(each['robot'], each['user']) for each in site.json('robot', 'list', '--users')] == [
        ('laptop-1', 'ana'), ('laptop-2', 'bob')]
    refused = site.call('team', 'remove', 'iris', check=False)
    assert refused.returncode == 1 and 'Next:' in refused.stderr
