"""tailscaled's own words about itself."""
from dataclasses import replace

import pytest

from ua_overlay.checks import health, robot
from ua_overlay.checks.facts import Facts, Server
from ua_overlay.errors import Problem
from ua_overlay.rosenv.preferences import Preferences
from unit.checks.healthy import FACTS, changed, only

LOST = ('State store failed to initialize, Tailscale will not work until this is resolved. See '
        'https://tailscale.com/s/state-store-init-error. Error: unexpected end of JSON input')
ROUTER = 'setting up filter/ts-input: running [/sbin/ip6tables -t filter -N ts-input --wait]: exit status 3'


def saying(*texts, **fields):
    return changed(status=replace(FACTS.status, health=texts), **fields)


def test_healthy():
    assert health.health(FACTS).level == 'OK' and health.health(Facts()) is None
    assert health.health(changed(daemon_problem=Problem('NO_DAEMON', ''))) is None


@pytest.mark.parametrize('text', [
    'Tailscale is stopped.', 'Tailscale is starting. Please wait.', 'You are logged out.',
    'An update from version 1 to 2 is available. Run `tailscale update` to update now.',
    'Some peers are advertising routes but --accept-routes is false'])
def test_what_is_no_fault(text):
    assert health.health(saying(text)).level == 'OK'


@pytest.mark.parametrize('text, level, advice', [
    (LOST, 'ERROR', 'sudo mv /var/lib/tailscale/tailscaled.state /var/lib/tailscale/tailscaled.state.damaged; '),
    (ROUTER, 'ERROR', 'sudo tailscale set --netfilter-mode=off'),
    ('System DNS config not ideal. /etc/resolv.conf overwritten. See https://tailscale.com/s/dns-fight', 'WARN',
     'sudo systemctl restart tailscaled'),
    ('Tailscale failed to set the DNS configuration of your device: exit status 1', 'WARN', 'restart tailscaled'),
    ("Tailscale can't reach the configured DNS servers. Internet connectivity may be affected.", 'WARN', 'resolvectl'),
    ('Something new that nobody knows', 'WARN', 'journalctl -u tailscaled')])
def test_known_texts(text, level, advice):
    verdict = only(health.health(saying(text)))
    assert verdict.level == level and text[:100] in verdict.what and advice in verdict.next_command


def test_the_state_file_of_the_daemons_command_line():
    verdict = only(health.health(saying(LOST, daemon_state='/data/my ts/tailscaled.state')))
    assert "sudo mv '/data/my ts/tailscaled.state' '/data/my ts/tailscaled.state'.damaged" in verdict.next_command


def test_a_server_that_is_away_is_the_finding_of_another_check():
    text = 'Unable to connect to the Tailscale coordination server to synchronize the state of your tailnet.'
    assert only(health.health(saying(text))).level == 'WARN'
    away = saying(text, server=Server('https://a', Problem('SERVER_UNREACHABLE', 'It is away.')))
    assert health.health(away).level == 'OK'


def test_control_characters_do_not_reach_the_terminal():
    verdict = only(health.health(saying('\x1b[2J\nOK  health  fine')))
    assert '\x1b' not in verdict.what and '\n' not in verdict.what


@pytest.mark.fault('case 11', 'tailscaled.state is damaged, or only the machine key is left',
                   behaviour='doctor says so, and the way back', reported='at once: doctor, /diagnostics',
                   recovery='after its next commands', lost='the robot\'s identity')
def test_a_lost_identity_is_not_a_robot_that_never_joined():
    """`join INVITATION` alone fails on a damaged state, and a robot with kept settings has been in a team."""
    fresh = replace(FACTS.status, state='NeedsLogin', have_node_key=False)
    assert robot.login(changed(status=replace(fresh, health=(LOST,)))) is None
    verdict = robot.login(changed(status=fresh))
    assert verdict.level == 'ERROR' and verdict.what == 'dev-2 was in team iris and has lost its identity.'
    assert verdict.next_command == ('ua-overlay robot remove dev-2; ua-overlay invite iris dev-2   '
                                    '# on the server, then here: ua-overlay join INVITATION')
    never = changed(status=fresh, preferences=Preferences(), former_name='')
    assert robot.login(never).what == 'This robot is in no team.'
