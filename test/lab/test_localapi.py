"""The LocalAPI client against real headscale and real tailscaleds of each tested release."""
import json
import os
import subprocess
import sys
import threading

import pytest
from full_disk import small_file_system
from loopback_site import LoopbackSite
from paths import ROOT
from releases import RELEASES

from ua_overlay.errors import OverlayError
from ua_overlay.lab.wait import wait
from ua_overlay.tailscale import state_file
from ua_overlay.tailscale.byte_counters import moved, parse_bytes
from ua_overlay.tailscale.links import classify_ping
from ua_overlay.tailscale.localapi import WATCH_HEALTH, WATCH_PEERS, WATCH_STATE, DaemonDenied, DaemonError, LocalApi
from ua_overlay.tailscale.operator import maintain_operator

NOBODY = 65534


@pytest.fixture(scope='module')
def site():
    with LoopbackSite() as one:
        yield one


@pytest.fixture(scope='module', params=RELEASES)
def robots(request, site):
    """Two robots of team iris, one of the release under test and one of the pinned, and one of team blue."""
    prefix = 'abc'[RELEASES.index(request.param)]
    daemons = [site.daemon(prefix + '-1', request.param), site.daemon(prefix + '-2'), site.daemon(prefix + '-3')]
    for daemon, tags in zip(daemons, (('tag:iris', 'tag:ros-master'), ('tag:iris',), ('tag:blue',))):
        daemon.begin_join(site.key(*tags))
    for daemon in daemons:
        wait('{} is online'.format(daemon.name), daemon.online)
    yield daemons
    for daemon in daemons:
        daemon.kill()


@pytest.fixture(scope='module')
def taken(site):
    """The name of a node of the site."""
    daemon = site.daemon('taken')
    yield daemon.join(site.key()).self_node.name
    daemon.kill()


@pytest.fixture(params=RELEASES)
def fresh(request, site):
    """A daemon of each release that has never joined."""
    fresh.count = getattr(fresh, 'count', 0) + 1
    daemon = site.daemon('fresh-{}'.format(fresh.count), request.param)
    yield daemon
    daemon.kill()


def as_user(uid, function):
    """Run ``function`` in a child process of ``uid`` and return what it returns, or raise the OverlayError's code."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        answer = {'crash': 'unknown'}
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            answer = {'value': function()}
        except OverlayError as error:
            answer = {'code': error.code}
        except BaseException as error:
            answer = {'crash': repr(error)}
        finally:
            os.write(writing, json.dumps(answer).encode())
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as stream:
        answer = json.loads(stream.read())
    os.waitpid(child, 0)
    assert 'crash' not in answer, answer
    return answer.get('code') or answer.get('value')


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason='changing the user needs root')


def test_status(robots):
    first, second, _ = robots
    status = wait('they see each other', lambda: next(
        (s for s in [first.status()] if any(p.name == second.name and p.online for p in s.peers)), None))
    own = status.self_node
    assert (own.name, own.dns_name) == (first.name, first.name + '.overlay.internal')
    assert set(own.tags) == {'tag:iris', 'tag:ros-master'} and own.online and own.addresses[0].startswith('100.64.')
    assert robots[2].name not in [peer.name for peer in status.peers], 'the other team is visible'
    assert first.api.status(peers=False).get('Peer') is None


def test_ping_metrics_and_link(robots):
    first, second, _ = robots
    address = second.status().self_node.addresses[0]

    def ping(kind, timeout):
        # The first seconds: a peer whose relay is not known yet cannot be pinged, and a packet that is lost while the
        # session forms is not repeated.
        try:
            return first.api.ping(address, kind, timeout)
        except DaemonError as error:
            assert error.code == 'NO_ANSWER'
            return None

    result = wait('a direct answer', lambda: next(
        (r for r in [ping('disco', 1.0)] if r and classify_ping(r) == 'DIRECT'), None))
    assert result.name == second.name and 0 < result.latency < 1 and not result.error

    def only_direct():
        before = parse_bytes(first.api.user_metrics())
        answer = ping('TSMP', 2.0)  # through WireGuard: it counts
        return answer and answer.latency > 0 and moved(before, parse_bytes(first.api.user_metrics())) == {'DIRECT'}

    wait('traffic on the direct path alone (the first packets go by DERP as well)', only_direct, 60)


def test_ping_of_an_unknown_address_and_of_another_team(robots):
    first, _, other = robots
    assert first.api.ping('100.64.99.99', timeout=2.0).error
    assert first.api.ping(other.status().self_node.addresses[0], timeout=2.0).error == 'no matching peer'


def test_leave_and_rejoin_keep_name_address_and_tags(robots):
    first = robots[0]
    before = first.status().self_node
    with first.api.watch(WATCH_STATE) as bus:
        first.api.edit_prefs(WantRunning=False)
        wait('Stopped on the bus', lambda: (bus.next(1.0) or {}).get('State') == 4)
    stopped = first.status()
    assert (stopped.state, stopped.have_node_key, stopped.self_node.tags) == ('Stopped', True, before.tags)
    first.api.edit_prefs(WantRunning=True)
    after = wait('online again', first.online).self_node
    assert (after.name, after.addresses, after.tags) == (before.name, before.addresses, before.tags)


def test_after_a_restart_while_stopped_only_the_key_is_known(robots):
    first = robots[0]
    first.api.edit_prefs(WantRunning=False)
    first.kill()
    first.start()
    status = first.status()
    assert (status.state, status.have_node_key, status.self_node.name, status.self_node.tags) == (
        'Stopped', True, '', ())
    first.api.edit_prefs(WantRunning=True)
    assert wait('online again', first.online).self_node.name == first.name


def test_a_taken_name_gets_a_suffix(site, taken, fresh):
    given = fresh.join(site.key(), Hostname=taken).self_node
    # -1, or -2 when an earlier node of that name is still on the server.
    assert given.name.startswith(taken + '-') and given.hostname == taken
    fresh.api.logout()


def test_a_wrong_key_is_reported_on_the_bus_and_the_preferences_can_be_restored(site, fresh):
    before = fresh.api.prefs()
    with fresh.api.watch(WATCH_STATE | WATCH_HEALTH | WATCH_PEERS) as bus:
        fresh.api.start('hskey-auth-aaaaaaaaaaaa-' + 'b' * 64, dict(
            before, ControlURL=site.url, Hostname=fresh.name, WantRunning=True, LoggedOut=False))
        fresh.api.login_interactive()
        said = wait('the server\'s word', lambda: (bus.next(1.0) or {}).get('ErrMessage'))
    assert 'invalid pre auth key' in said
    fresh.api.start(None, before)
    assert fresh.api.prefs() == before
    status = fresh.status()
    assert (status.state, status.have_node_key) == ('NeedsLogin', False)
    with open(fresh.log) as log:
        assert 'b' * 20 not in log.read(), 'the key is in the daemon\'s log'


def test_a_used_key_is_reported_on_the_bus(site, fresh):
    key = site.key()
    spender = site.daemon('spender-of-' + fresh.name)
    spender.join(key)
    before = fresh.api.prefs()
    with fresh.api.watch() as bus:
        fresh.api.start(key, dict(before, ControlURL=site.url, WantRunning=True, LoggedOut=False))
        fresh.api.login_interactive()
        assert 'already used' in wait('the server\'s word', lambda: (bus.next(1.0) or {}).get('ErrMessage'))
    fresh.api.start(None, before)
    spender.kill()


def test_only_a_start_without_a_key_keeps_the_team(site, fresh):
    """Why `join` sends no key while the machine has a node key: the server would use it and change the team."""

    def start(key):
        with fresh.api.watch(WATCH_PEERS) as bus:
            fresh.api.start(key, dict(fresh.api.prefs(), WantRunning=True))
            wait('a new network map', lambda: (bus.next(1.0) or {}).get('SelfChange'))
        return wait('online', fresh.online).self_node.tags

    def used():
        return [bool(k.get('used')) for k in site.headscale('preauthkeys', 'list') if k['id'] == key['id']]

    fresh.join(site.key('tag:iris'))
    assert start(None) == ('tag:iris',)
    key = site.headscale('preauthkeys', 'create', '--tags', 'tag:blue')
    assert used() == [False]
    assert start(key['key']) == ('tag:blue',) and used() == [True]


@needs_root
def test_other_users_may_read_but_not_write(robots):
    path = robots[0].socket
    assert as_user(NOBODY, lambda: LocalApi(path).status()['BackendState']) == 'Running'
    assert as_user(NOBODY, lambda: len(LocalApi(path).user_metrics()) > 0) is True
    assert as_user(NOBODY, lambda: LocalApi(path).edit_prefs(WantRunning=False)) == DaemonDenied.code == 'NOT_PREPARED'
    assert as_user(NOBODY, lambda: LocalApi(path).logout()) == 'NOT_PREPARED'
    assert as_user(NOBODY, lambda: LocalApi(path).start(None, {})) == 'NOT_PREPARED'
    assert robots[0].status().state == 'Running'


@needs_root
def test_the_operator_is_kept_through_start_up_and_logout(site, fresh):
    stop, said = threading.Event(), []
    keeper = threading.Thread(target=maintain_operator, args=(LocalApi(fresh.socket), 'nobody', stop, said.append))
    keeper.daemon = True
    keeper.start()

    def kept():
        return fresh.api.prefs().get('OperatorUser') == 'nobody'

    def join(key):
        api = LocalApi(fresh.socket)
        # Without OperatorUser: the start clears it.
        api.start(key, {'ControlURL': site.url, 'Hostname': fresh.name, 'WantRunning': True, 'CorpDNS': True})

    wait('set at once', kept, 60)
    key = site.key()
    assert as_user(NOBODY, lambda: join(key)) is None
    wait('set again after the start', kept, 60)
    assert as_user(NOBODY, lambda: LocalApi(fresh.socket).login_interactive()) is None
    wait('online', fresh.online)
    assert as_user(NOBODY, lambda: LocalApi(fresh.socket).logout()) is None
    wait('set again after the logout', kept, 60)
    # The daemon restarts, and another program clears the operator.
    fresh.kill()
    wait('the keeper says that the daemon is gone', lambda: any('Trying again' in text for text in said), 60)
    fresh.start()
    fresh.api.edit_prefs(OperatorUser='')
    wait('set again after a restart', kept, 60)
    key = site.key()
    assert as_user(NOBODY, lambda: join(key)) is None
    wait('set again', kept, 60)
    assert as_user(NOBODY, lambda: LocalApi(fresh.socket).login_interactive()) is None
    wait('online again', fresh.online)
    stop.set()
    fresh.api.edit_prefs(Hostname='wakes-the-keeper')
    keeper.join(5)
    assert not keeper.is_alive()


def test_logout_without_the_server_fails_and_keeps_the_key(fresh):
    with LoopbackSite() as lonely:
        fresh.site, site = lonely, fresh.site
        try:
            fresh.kill()
            fresh.start()
            fresh.join(lonely.key())
            lonely.kill_server()
            with pytest.raises(DaemonError) as caught:
                fresh.api.logout(timeout=20)
            assert caught.value.status == 500
            assert fresh.status().have_node_key
        finally:
            fresh.site = site


@needs_root
@pytest.mark.fault('K3', 'The disk is full while tailscaled gets its identity',
                   behaviour='It runs; the agent has it saved when there is room',
                   reported='30 s: log of the agent; at once: status, doctor', recovery='30 s',
                   lost='nothing, unless tailscaled restarts meanwhile')
def test_an_identity_that_there_was_no_room_for_is_saved_later(site, tmp_path):
    """tailscaled says so in its log alone, and would not save it before the next change of a preference."""
    daemon = site.daemon('full-disk')
    daemon.join(site.key())  # a machine key is there, as on a robot that was in a team before
    daemon.api.logout()
    daemon.kill()
    kept = {name: open(os.path.join(daemon.dir, name), 'rb').read() for name in ('state',)}
    daemon.log = str(tmp_path / 'log')
    said = []
    with small_file_system(daemon.dir, '512k') as disk:
        for name, data in kept.items():
            with open(os.path.join(daemon.dir, name), 'wb') as stream:
                stream.write(data)
        daemon.start()
        path = state_file.path_of(daemon.socket)
        assert path == os.path.join(daemon.dir, 'state') and state_file.lack_of_room(daemon.socket) is None
        keeper = state_file.IdentityKeeper(daemon.api, lambda: path, said.append)
        disk.fill()
        assert 'file system {} is full'.format(disk.path) in state_file.lack_of_room(daemon.socket).sentence
        name = daemon.join(site.key()).self_node.name
        keeper.step()
        assert len(said) == 1 and 'is full' in said[0] and 'restart would lose it' in said[0], said
        disk.free()
        keeper.step()
        assert 'has saved' in said[-1], said
        assert daemon.api.prefs()['NotepadURLs'] is False
        daemon.kill()
        daemon.start()
        assert wait('The robot after a restart', daemon.online).self_node.name == name
        daemon.kill()


CONTAINER = '''
mount --bind "$1" /etc/passwd && shift && exec setpriv --reuid {uid} --regid {uid} --clear-groups "$@"
'''.format(uid=NOBODY)


@needs_root
@pytest.mark.fault('case 15', "A user has another name in the robot's container",
                   behaviour='The join works: tailscaled compares ids', reported='-', recovery='-', lost='nothing')
def test_a_user_of_another_name_in_a_container_joins(site, tmp_path):
    """Two mount namespaces with different users: the operator is the host's `nobody`, whom the container calls ros."""
    passwd = tmp_path / 'passwd'
    passwd.write_text('root:x:0:0::/root:/bin/sh\nros:x:{0}:{0}::/tmp:/bin/sh\n'.format(NOBODY))
    daemon = site.daemon('container')
    daemon.join(site.key(), operator='nobody')
    daemon.api.edit_prefs(WantRunning=False)
    tmp_path.chmod(0o755)

    def join(*prefix):
        return subprocess.run(
            ['unshare', '--mount', *prefix, 'sh', '-c', CONTAINER, 'sh', str(passwd), sys.executable,
             os.path.join(ROOT, 'scripts', 'ua-overlay'), 'join', '--socket', daemon.socket, '--ca', site.ca,
             '--state-dir', str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True,
            timeout=60)

    done = join()
    assert done.returncode == 0 and 'container is back in team iris' in done.stdout, done.stderr
    # Somebody else is the operator: the advice names the user as the host knows it.
    daemon.api.edit_prefs(WantRunning=False, OperatorUser='daemon')
    assert 'refuses changes by user ros (id {})'.format(NOBODY) in join().stderr
    done = join('--pid', '--fork', '--mount-proc')
    assert done.returncode == 1 and '--user "$(id -un {})"'.format(NOBODY) in done.stderr, done.stderr
    daemon.kill()
