"""The life of a site with real headscale and tailscaleds: backup and restore, a change of the CA, and robots that move,
are replaced or are copied.
"""
import contextlib
import datetime
import json
import os
import shutil
import sqlite3
import time

import pytest
from site_on_loopback import running_site

from ua_overlay.clock import utc_now
from ua_overlay.defaults import TEAM_PORT
from ua_overlay.lab.wait import wait
from ua_overlay.resources import share_path
from ua_overlay.site.admin import Admin
from ua_overlay.site.site import Site
from ua_overlay.toolchain.pins import read_pin
from ua_overlay.trust import certificate as certificates
from ua_overlay.trust import store

HEADSCALE = read_pin(share_path('toolchain'), 'headscale').version


@pytest.fixture(scope='module')
def site():
    with running_site(('iris',), ('blue', '--team-port', '11400', '--addressing', 'addresses')) as made:
        yield made


@pytest.fixture(scope='module')
def robots(site):
    """Two robots of team iris, by name."""
    made = {}
    for name in ('dev-1', 'dev-2'):
        made[name] = site.robot(name)
        joined = made[name].ua('join', site.invite('iris', name)[1])
        assert joined.returncode == 0, joined.stdout + joined.stderr
    return made


def joined(site, robots, name):
    """The robot ``name`` of team iris, which joins now unless it has before."""
    if name not in robots:
        robots[name] = site.robot(name)
        assert robots[name].ua('join', site.invite('iris', name)[1]).returncode == 0
    return robots[name]


def rows(site):
    return {row['robot']: row for row in site.json('robot', 'list')}


def all_online(site, robots, seconds=120):
    """Wait until every robot is online by `robot list` and by its own status; returns the rows by robot."""
    wait('Every robot online', lambda: all(robot.status()['Self']['Online'] for robot in robots.values())
         and set(robots) <= (site.online() or set()), seconds)
    found = rows(site)
    assert all(found[name]['online'] for name in robots), found
    return found


def integrity(site):
    with contextlib.closing(sqlite3.connect(os.path.join(site.directory, 'headscale', 'db.sqlite'))) as database:
        return database.execute('PRAGMA integrity_check').fetchone()[0]


@pytest.mark.fault('new', 'The server is lost and restored from a backup in another place',
                   behaviour='Robots return with their addresses, without a key or a command', reported='-',
                   recovery='120 s', lost='what came after the backup')
def test_robots_return_to_a_site_that_is_restored_from_a_backup_elsewhere(site, robots):
    before = all_online(site, robots)
    backup = os.path.join(site.base, 'site.backup')
    report = site.json('server', 'backup', '--output', backup)
    assert report['headscale'] == HEADSCALE and 'headscale/db.sqlite' in report['members']
    assert 'exists already' in site.call('server', 'backup', '--output', backup, check=False).stderr

    # Headscale does not end while clients are connected: it is killed after five seconds, and nothing is lost.
    seconds, status = site.stop()
    assert status == 0 and seconds < 15
    assert integrity(site) == 'ok'
    old = site.directory
    site.directory = os.path.join(site.base, 'new')
    restored = site.call('server', 'restore', backup)
    assert 'Robots return when' in restored.stdout
    os.rename(old, old + '.gone')
    site.start()
    # No key and no command on the robots.
    after = all_online(site, robots)
    assert {name: row['addresses'] for name, row in after.items()} == {
        name: row['addresses'] for name, row in before.items()}
    assert [node.name for node in site.client().nodes()] == ['dev-1', 'dev-2', 'relay']
    refused = site.call('server', 'restore', backup, '--replace', check=False)
    assert refused.returncode == 1 and 'runs already' in refused.stderr


@pytest.mark.fault('new', 'Headscale would skip a minor version, or go back',
                   behaviour='The server does not start, and says so; an allowed upgrade makes a backup first',
                   reported='at once: server run, server upgrade', recovery='-', lost='nothing')
def test_an_upgrade_may_not_skip_a_version(site, robots):
    site.stop()
    path = os.path.join(site.directory, 'headscale', 'version')
    with open(path, encoding='ascii') as stream:
        assert stream.read() == HEADSCALE + '\n'
    try:
        for version, words in (('0.27.1', 'skip a minor version'), ('0.30.0', 'cannot go back')):
            with open(path, 'w', encoding='ascii') as stream:
                stream.write(version + '\n')
            for command in (('server', 'run'), ('server', 'upgrade')):
                refused = site.call(*command, check=False)
                assert refused.returncode == 1 and words in refused.stderr, refused.stderr
        with open(path, 'w', encoding='ascii') as stream:
            stream.write('0.28.0\n')
        assert site.json('server', 'upgrade', '--check')['step'] == 'UPGRADE'
    except BaseException:
        with open(path, 'w', encoding='ascii') as stream:
            stream.write(HEADSCALE + '\n')
        raise
    site.start()
    saved = os.listdir(os.path.join(site.directory, 'backups'))
    assert len(saved) == 1 and 'takes over from 0.28.0' in site.output()
    with open(path, encoding='ascii') as stream:
        assert stream.read() == HEADSCALE + '\n'
    all_online(site, robots)


@pytest.mark.fault('new', 'The site changes its CA',
                   behaviour='No switch while a robot does not trust the new one; robots keep their addresses',
                   reported='at once: rotate-ca switch', recovery='120 s', lost='nothing')
def test_the_ca_changes_while_the_robots_stay(site, robots):
    all_online(site, robots)
    addresses = {name: robot.address() for name, robot in robots.items()}
    relay = site.processes()['relay']
    site.call('server', 'rotate-ca', 'start')
    wait('a relay with both roots', lambda: site.processes()['relay'] != relay)
    invited, _ = site.invite('iris', 'dev-3')
    assert invited.ca_pem.count('BEGIN CERTIFICATE') == 2
    refused = site.call('server', 'rotate-ca', 'switch', check=False)
    assert refused.returncode == 1 and 'These robots may not trust the new root yet: dev-1, dev-2.' in refused.stderr

    # What `robot prepare --ca` does on a robot: the file, and a restart.
    for name, robot in robots.items():
        robot.kill()
        robot.trust(site)
        begin = time.monotonic()
        robot.start()
        wait('{} back'.format(name), lambda robot=robot: robot.status()['Self']['Online'], 60)
        print('{}: tailscaled away for {:.1f} s'.format(name, time.monotonic() - begin))
        site.call('server', 'rotate-ca', 'confirm', name)
    joined(site, robots, 'dev-3')
    assert {row['robot']: row['known'] for row in site.json('server', 'rotate-ca', 'status')['robots']} == {
        'dev-1': 'confirmed', 'dev-2': 'confirmed', 'dev-3': 'joined'}

    site.call('server', 'rotate-ca', 'switch')
    trust = store.load(site.directory)
    assert certificates.is_signed_by(trust.server, trust.ca)
    site.wait_healthy()
    all_online(site, robots)
    site.call('server', 'rotate-ca', 'finish')
    assert site.json('server', 'rotate-ca', 'status')['phase'] == 'STEADY'
    # tailscaled verifies the server's certificate strictly only at its start.
    robots['dev-1'].kill()
    robots['dev-1'].start()
    all_online(site, robots)
    assert {name: robots[name].address() for name in addresses} == addresses


@pytest.mark.fault('new', 'The server deleted a robot whose tailscaled still believes that it is joined',
                   behaviour='doctor, status and join say so; a new invitation works',
                   reported='at once: doctor, status', recovery='120 s', lost='nothing')
def test_a_robot_that_the_server_deleted_is_reported_and_rejoins(site, robots):
    robot = robots['dev-2']
    rest = site.client()
    rest.delete_node(next(node.id for node in rest.nodes() if node.name == 'dev-2'))

    def finding():
        report = json.loads(robot.ua('doctor', '--json').stdout)
        return next(each for each in report['findings'] if each['id'] == 'registered')

    found = finding()
    assert found['level'] == 'ERROR' and 'does not know dev-2' in found['what']
    assert robot.status()['BackendState'] == 'Running'  # so only the doctor can report it
    assert 'does not know dev-2' in robot.ua('status').stdout
    lonely = robot.ua('join')
    assert lonely.returncode == 1 and 'does not know dev-2' in lonely.stdout + lonely.stderr
    joined = robot.ua('join', site.invite('iris', 'dev-2')[1])
    assert joined.returncode == 0, joined.stdout + joined.stderr
    assert finding()['level'] == 'OK'
    all_online(site, robots)


def test_a_robot_moves_to_another_team_and_learns_its_port(site, robots):
    before = all_online(site, robots)
    assert robots['dev-2'].status()['Self']['CapMap']['ua-overlay:team-port={}'.format(TEAM_PORT)] is None
    # First they are in one team.
    wait('dev-2 among the peers of dev-1', lambda: 'dev-2' in robots['dev-1'].peers(), 60)
    assert 'Moved dev-2 from team iris to team blue' in site.call('robot', 'move', 'dev-2', 'blue').stdout

    def told():
        own = robots['dev-2'].status()['Self']
        return own['Tags'] == ['tag:blue'] and {'ua-overlay:team-port=11400',
                                                'ua-overlay:addressing=addresses'} <= set(own['CapMap'])

    begin = time.monotonic()
    wait('the new team on the robot', told, 30)
    wait('dev-1 to lose it', lambda: 'dev-2' not in robots['dev-1'].peers(), 30)
    print('moved after {:.1f} s'.format(time.monotonic() - begin))
    row = rows(site)['dev-2']
    assert (row['team'], row['addresses']) == ('blue', before['dev-2']['addresses'])
    assert robots['dev-2'].address() == row['addresses'][0]
    assert 'already' in site.call('robot', 'move', 'dev-2', 'blue').stdout
    assert site.call('robot', 'move', 'dev-2', 'rose', check=False).returncode == 1
    site.call('robot', 'move', 'dev-2', 'iris')
    wait('dev-1 to see it again', lambda: 'dev-2' in robots['dev-1'].peers(), 60)


def test_a_robot_that_left_rejoins_with_another_address(site, robots):
    robot = robots['dev-2']
    address = robot.address()
    assert robot.ua('leave', '--forget').returncode == 0
    site.call('robot', 'remove', 'dev-2')
    # In between another robot joins and may get the address.
    joined(site, robots, 'dev-4')
    assert robot.ua('join', site.invite('iris', 'dev-2')[1]).returncode == 0
    found = all_online(site, robots)
    assert found['dev-2']['addresses'][0] == robot.address() != address


@pytest.mark.fault('new', "New hardware takes over a robot's name",
                   behaviour='Refused while the old one is online; then `invite --replace` frees the name',
                   reported='at once: invite', recovery='-', lost='nothing')
def test_new_hardware_takes_over_a_name(site, robots):
    joined(site, robots, 'dev-4')
    refused = site.call('invite', 'iris', 'dev-4', '--replace', '--output', os.path.join(site.base, 'x'), check=False)
    assert refused.returncode == 1 and 'dev-4 is online' in refused.stderr
    robots.pop('dev-4').kill()
    wait('dev-4 to be offline', lambda: site.is_offline('dev-4'), 60)
    assert '--replace' in site.call('invite', 'iris', 'dev-4', '--overwrite', check=False).stderr
    _, path = site.invite('iris', 'dev-4', '--replace')
    assert 'dev-4' not in rows(site)
    hardware = site.robot('dev-4-new')
    assert hardware.ua('join', path).returncode == 0
    assert hardware.status()['Self']['DNSName'].split('.')[0] == 'dev-4'
    robots['dev-4'] = hardware


def test_robots_offline_for_long_are_pruned(site, robots):
    joined(site, robots, 'dev-4')
    robots.pop('dev-4').kill()
    wait('dev-4 to be offline', lambda: site.is_offline('dev-4'), 60)
    assert site.json('robot', 'list', '--stale') == [] and site.json('robot', 'prune', '--older-than', '30d') == []
    # The server's clock cannot be moved: the same function with another clock.
    later = Admin(Site.load(site.directory), site.client,
                  lambda: utc_now() + datetime.timedelta(days=40))
    assert [node.name for node in later.stale_robots(30)] == ['dev-4']
    assert [node.name for node in later.prune(30)] == ['dev-4']
    assert set(rows(site)) == set(robots)


@pytest.mark.fault('case 9', 'Two machines run with one identity (a copied SD card)',
                   behaviour='doctor warns on one of the two; the server counts two sessions',
                   reported='60 s: doctor; 30 s: robot list',
                   recovery='with leave --new-identity on the copy: two robots, and the other one stays in its team',
                   lost='nothing')
def test_a_copied_sd_card_is_detected_and_separated(site, robots):
    original = robots['dev-1']
    original.kill()
    shutil.copytree(original.directory, os.path.join(site.base, 'copy'), ignore=shutil.ignore_patterns('s', 'log'))
    original.start()
    wait('dev-1 online', lambda: original.status()['Self']['Online'], 60)

    def verdict(robot):
        report = json.loads(robot.ua('doctor', '--json').stdout)
        return next((each['level'] for each in report['findings'] if each['id'] == 'duplicate-identity'), None)

    wait('the doctor to find it alone', lambda: verdict(original) == 'OK', 60)
    copy = site.robot('copy')
    wait('the copy online', lambda: copy.status()['Self']['Online'], 60)
    # Only the daemon that connected first is informed of the other.
    wait('one of the two to notice', lambda: 'WARN' in (verdict(original), verdict(copy)), 60)
    assert original.status()['BackendState'] == copy.status()['BackendState'] == 'Running'
    # The server counts two sessions; it reports a duplicate only after they have lasted.
    wait('two sessions on the server', lambda: rows(site)['dev-1']['sessions'] == 2, 30)
    assert not rows(site)['dev-1']['duplicate_identity'] and rows(site)['dev-2']['sessions'] == 1
    # What the doctor says, typed on the copy. The original is not told to leave, and two robots come of it.
    address, node_key = original.address(), original.status()['Self']['PublicKey']
    separated = copy.ua('leave', '--new-identity', '--json')
    assert separated.returncode == 0 and 'invite TEAM ROBOT' in json.loads(separated.stdout)['message']
    joined = copy.ua('join', site.invite('iris', 'dev-9')[1])
    assert joined.returncode == 0, joined.stdout + joined.stderr
    assert copy.status()['Self']['DNSName'].startswith('dev-9.') and copy.address() != address
    wait('both robots online', lambda: rows(site)['dev-1']['online'] and rows(site)['dev-9']['online'], 60)
    assert (original.address(), original.status()['Self']['PublicKey']) == (address, node_key)
    for word in ('leave', 'join'):
        assert original.ua(word).returncode == 0
    wait('the doctor to be content', lambda: verdict(original) == verdict(copy) == 'OK', 60)
    wait('one session each', lambda: [rows(site)[name]['sessions'] for name in ('dev-1', 'dev-9')] == [1, 1], 60)
    copy.kill()
    site.call('robot', 'remove', 'dev-9')
    with open(os.path.join(site.directory, 'log', 'headscale.log'), encoding='utf-8') as stream:
        assert ' DBG ' not in stream.read()
