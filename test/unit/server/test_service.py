"""`server service install`: the unit, its recipe, and errors. The unit boots in test/lab/test_server_service.py."""
import os
import shutil
import subprocess

import pytest

from ua_overlay.errors import UsageError
from ua_overlay.firewall import egress
from ua_overlay.firewall.backend import NFT, Backend
from ua_overlay.server import service
from ua_overlay.system import control_socket

SITE = '/var/lib/ua_overlay/site'
COMMAND = '/opt/ua_overlay/scripts/ua-overlay'
NFTABLES = Backend(NFT, ('/usr/sbin/nft',))
RULES = egress.ruleset(egress.SERVER, egress.Settings(user='daemon'), NFTABLES)


def unit(user='daemon', directory=SITE, command=COMMAND, programs=('/opt/ua_overlay',), **options):
    return service.unit_text(user, directory, command, programs, **options)


def test_the_unit_names_its_user_and_its_directory():
    text = unit(environment=['UA_OVERLAY_CACHE=/var/cache/ua_overlay']).split('\n')
    assert 'User=daemon' in text and 'Type=notify' in text
    assert 'ExecStart={} server run --no-relay --dir {}'.format(COMMAND, SITE) in text
    assert 'ExecReload=/bin/kill -HUP $MAINPID' in text
    assert 'Environment=UA_OVERLAY_CACHE=/var/cache/ua_overlay' in text
    assert 'ReadWritePaths=' + SITE in text and 'ProtectSystem=strict' in text
    assert 'CapabilityBoundingSet=' in text and not any('AmbientCapabilities' in line for line in text)
    stop = next(int(line.split('=')[1]) for line in text if line.startswith('TimeoutStopSec='))
    assert 2 * 5 < stop < 46  # twice its child's time, and less than Headscale alone would take


def test_a_port_below_1024_adds_the_only_capability():
    text = unit(low_port=True)
    assert text.count('CAP_') == text.count('CAP_NET_BIND_SERVICE') == 2


@pytest.mark.parametrize('wrong', [{'user': 'root'}, {'user': '0'}, {'directory': 'site'}, {'directory': '/a b'},
                                   {'directory': '/a\nUser=root'}, {'programs': ('/a:b',)}, {'command': '/"x"'}])
def test_root_and_invalid_paths_are_refused(wrong):
    with pytest.raises(UsageError):
        unit(**wrong)


@pytest.mark.skipif(shutil.which('systemd-analyze') is None, reason='There is no systemd-analyze on this machine.')
@pytest.mark.parametrize('low_port, most', [(False, 15), (True, 18)])
@pytest.mark.parametrize('served', [service.SERVER, service.SERVER_RELAY])
def test_systemd_accepts_the_unit(tmp_path, served, low_port, most):
    program = tmp_path / 'ua-overlay'
    program.write_text('#!/bin/sh\n')
    program.chmod(0o755)
    path = tmp_path / served.unit
    path.write_text(unit(command=str(program), low_port=low_port, served=served))
    done = subprocess.run(['systemd-analyze', 'verify', str(path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          universal_newlines=True)
    assert (done.returncode, done.stdout) == (0, '')
    done = subprocess.run(['systemd-analyze', 'security', '--offline=true', '--no-pager', '--threshold={}'.format(most),
                           str(path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.skipif(shutil.which('systemd-analyze') is None, reason='There is no systemd-analyze on this machine.')
@pytest.mark.parametrize('served', [service.SERVER, service.RELAY])
def test_systemd_accepts_the_unit_of_the_egress_keeper(tmp_path, served):
    program = tmp_path / 'ua-overlay'
    program.write_text('#!/bin/sh\n')
    program.chmod(0o755)
    text = service.keeper_text('daemon', SITE, str(program), ('/opt/ua_overlay',), ['A=b'], served)
    assert 'ExecStart={} {} service keep --dir {} --user daemon'.format(program, served.kind, SITE) in text
    assert text.count('CAP_') == text.count('CAP_NET_ADMIN') == 2 and 'User=daemon\n' in text
    path = tmp_path / served.egress.keeper
    path.write_text(text)
    done = subprocess.run(['systemd-analyze', 'verify', str(path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          universal_newlines=True)
    assert (done.returncode, done.stdout) == (0, '')
    done = subprocess.run(['systemd-analyze', 'security', '--offline=true', '--no-pager', '--threshold=20', str(path)],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    assert done.returncode == 0, done.stdout


def test_recipe_is_applied_repeated_and_undone(tmp_path):
    ran, true = [], set()
    answers = {'getent': 'useradd', 'sh': 'chown', 'is-enabled': 'enable', 'is-active': 'restart'}

    def run(argv):
        ran.append(' '.join(argv))
        true.update((argv[0], argv[1]))

    def ask(argv):
        return answers[argv[1] if argv[0] == 'systemctl' else argv[0]] in true

    applier = service.applier(str(tmp_path), run, owner_of=None, ask=ask)
    recipe = service.make_recipe('ua-overlay-server', (0, 0), SITE, unit())
    assert applier.apply(recipe) == {service.UNIT}
    assert [line.split()[0:2] for line in ran] == [
        ['useradd', '--system'], ['chown', '--recursive'], ['systemctl', 'daemon-reload'], ['systemctl', 'enable'],
        ['systemctl', 'restart']]
    before = list(ran)
    assert applier.apply(recipe) == set() and ran == before
    ran.clear()
    assert applier.undo((), [['systemctl', 'daemon-reload']]) == []
    assert ran == ['systemctl stop ua-overlay-server.service', 'systemctl disable ua-overlay-server.service',
                   'chown --recursive --no-dereference 0:0 ' + SITE, 'userdel ua-overlay-server',
                   'systemctl daemon-reload']
    assert not [name for _, _, names in os.walk(str(tmp_path)) for name in names]


def test_the_relay_of_a_server_has_a_unit_that_nothing_couples_to_the_other():
    text = unit(served=service.SERVER_RELAY).split('\n')
    assert 'ExecStart={} server relay run --dir {}'.format(COMMAND, SITE) in text
    for other in (unit(), '\n'.join(text)):
        dependencies = [line for line in other.split('\n') if line.split('=')[0] in (
            'After', 'Before', 'Requires', 'Wants', 'BindsTo', 'PartOf', 'Requisite', 'Upholds', 'Conflicts')]
        assert dependencies == ['After=network.target']
    # SIGHUP would end it.
    assert not any(line.startswith('ExecReload') for line in text)
    assert egress.SERVER.beside == service.SERVER_RELAY.unit


@pytest.mark.parametrize('served', [service.SERVER, service.SERVER_RELAY])
def test_a_program_that_has_a_unit_is_started_by_it(tmp_path, served):
    path = tmp_path / served.unit
    path.write_text(unit(served=served))
    words = served.run.split(' --')[0]
    assert control_socket.start_command(SITE, str(path), words) == 'sudo systemctl start ' + served.unit.split('.')[0]
    assert control_socket.start_command('/other', str(path), words) == 'ua-overlay {} --dir /other'.format(words)


class Machine:
    """Plays a machine below ``root``, on which recipes are applied; ``ran`` are the commands."""

    def __init__(self, root):
        self.ran = []
        self._active, self._stamp = False, ''
        self._applier = service.applier(str(root), self._run, owner_of=None, ask=lambda argv: self._active)

    def _run(self, argv):
        self.ran.append(' '.join(argv))

    def install(self, stamp='a', command=COMMAND, relay=COMMAND):
        """Install, and return which units that restarts."""
        self.ran.clear()
        self._applier.apply(service.make_recipe('daemon', (0, 0), SITE, unit(command=command), relay=(
            unit(command=relay, served=service.SERVER_RELAY), stamp)))
        self._active = True
        if stamp != self._stamp:
            stopped = 'systemctl stop ' + service.SERVER_RELAY.unit
            # It leaves its ports to the server, which may have them from now on.
            assert all(self.ran.index(stopped) < index for index, line in enumerate(self.ran) if 'restart' in line)
        self._stamp = stamp
        return [line.split()[2] for line in self.ran if line.startswith('systemctl restart')]

    def remove(self):
        self.ran.clear()
        assert self._applier.undo() == []
        return self.ran


def test_another_version_of_the_package_leaves_the_relay_alone(tmp_path):
    machine = Machine(tmp_path)
    # First the server: one that ran until now has the relay in itself, and its port.
    assert machine.install() == [service.SERVER.unit, service.SERVER_RELAY.unit]
    assert machine.install() == [] and machine.ran == []
    assert machine.install(command='/opt/2/ua-overlay', relay='/opt/2/ua-overlay') == [service.SERVER.unit]
    assert 'systemctl daemon-reload' in machine.ran
    assert machine.install('b', command='/opt/2/ua-overlay', relay='/opt/2/ua-overlay') == [service.SERVER_RELAY.unit]
    removed = machine.remove()
    assert [line for line in removed if 'stop' in line] == [
        'systemctl stop ' + service.SERVER_RELAY.unit, 'systemctl stop ' + service.SERVER.unit]
    assert not [name for _, _, names in os.walk(str(tmp_path)) for name in names]


def test_what_the_relay_runs():
    text = service.relay_stamp('unit', [('relay_port', 1)], {'/b': '22', '/a': '11'})
    assert text.split('\n')[2:5] == ['relay_port: 1', '/a: 11', '/b: 22']
    for other in (service.relay_stamp('other', [('relay_port', 1)], {'/b': '22', '/a': '11'}),
                  service.relay_stamp('unit', [('relay_port', 2)], {'/b': '22', '/a': '11'}),
                  service.relay_stamp('unit', [('relay_port', 1)], {'/b': '23', '/a': '11'})):
        assert other != text


def test_without_systemd_only_the_rule_and_the_user_are_created():
    recipe = service.make_recipe('daemon', (0, 0), SITE, unit(), RULES, NFTABLES, 'none',
                                 COMMAND + ' server run')
    assert [item.path for item in recipe.files] == [egress.SERVER.rules]
    assert not any('systemctl' in command.argv for command in recipe.commands)
    assert any(COMMAND in sentence for sentence in recipe.by_hand)
    # The rules name a user, who has to exist when they are loaded.
    whole = service.make_recipe('daemon', (0, 0), SITE, unit(), RULES, NFTABLES)
    programs = [os.path.basename(command.argv[0]) for command in whole.commands]
    assert programs.index('useradd') < programs.index('nft')
    restart = next(index for index, command in enumerate(whole.commands) if 'restart' in command.argv)
    assert programs.index('nft') < restart


def test_program_of_a_checkout_and_of_an_install_space():
    assert service.find_program('/opt/x', {'/opt/x/scripts/ua-overlay'}.__contains__) == (
        '/opt/x/scripts/ua-overlay', '/opt/x')
    assert service.find_program('/ws/install/share/ua_overlay', {'/ws/install/bin/ua-overlay'}.__contains__) == (
        '/ws/install/bin/ua-overlay', '/ws/install')
    with pytest.raises(UsageError):
        service.find_program('/ws/install/share/ua_overlay', lambda path: False)


@pytest.mark.parametrize('served', [service.RELAY, service.DERP])
def test_remote_hosts_have_their_own_services(served, tmp_path):
    text = service.unit_text('daemon', '/var/lib/ua_overlay/x', COMMAND, (), served=served)
    assert 'ExecStart={} {} run --dir /var/lib/ua_overlay/x'.format(COMMAND, served.kind) in text
    recipe = service.make_recipe('daemon', (0, 0), '/x', text, RULES, NFTABLES,
                                 served=served)
    assert {item.path for item in recipe.files} == {
        '/etc/systemd/system/' + served.unit, '/etc/systemd/system/' + served.egress.unit, served.egress.rules,
        '/etc/systemd/system/' + served.egress.keeper}
    assert service.manifest(served) != service.manifest(service.SERVER)


def test_two_services_of_a_host_can_be_removed_in_either_order(tmp_path):
    for order in ((0, 1), (1, 0)):
        root = tmp_path / str(order[0])
        (root / 'etc/systemd/system').mkdir(parents=True)
        appliers = [service.applier(str(root), lambda argv: None, owner_of=None, ask=lambda argv: True, served=served)
                    for served in (service.RELAY, service.DERP)]
        for applier, served in zip(appliers, (service.RELAY, service.DERP)):
            applier.apply(service.make_recipe('daemon', (0, 0), SITE, unit(served=served), served=served))
        for index in order:
            assert appliers[index].undo() == []
        assert os.listdir(str(root / 'etc')) == ['systemd']
        assert os.listdir(str(root / 'etc/systemd/system')) == []
