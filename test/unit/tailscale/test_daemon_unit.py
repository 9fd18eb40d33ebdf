"""How tailscaled.service starts: recorded answers of systemctl, and what a robot's owner may have changed."""
import pytest

from ua_overlay.errors import OverlayError
from ua_overlay.tailscale import daemon_unit
from ua_overlay.tailscale.daemon_unit import DaemonArguments, parse_arguments, read_unit

#: systemd 252, with the vendor's unit and the drop-in of `robot prepare`.
SHOWN = '''\
LoadState=loaded
ExecStart={ path=/usr/sbin/tailscaled ; argv[]=/usr/sbin/tailscaled --state=/var/lib/tailscale/tailscaled.state \
--socket=/run/tailscale/tailscaled.sock --port=${PORT} $FLAGS ; ignore_errors=no ; start_time=[n/a] ; \
stop_time=[n/a] ; pid=0 ; code=(null) ; status=0/0 }
Environment=SSL_CERT_FILE=/etc/ua_overlay/ca.pem "GREETING=two words"
EnvironmentFiles=/etc/default/tailscaled (ignore_errors=no)
EnvironmentFiles=/etc/ua_overlay/proxy.env (ignore_errors=yes)
'''


def unit(defaults='', shown=SHOWN, manager=''):
    def read_file(path):
        if path == '/etc/default/tailscaled':
            return defaults
        raise FileNotFoundError(path)

    return read_unit(lambda argv: manager if argv[1] == 'show-environment' else shown, read_file)


def test_the_vendors_unit():
    found = unit('PORT="41641"\nFLAGS=""\n', manager='LANG=C.UTF-8\n')
    assert found.argv == ('/usr/sbin/tailscaled', '--state=/var/lib/tailscale/tailscaled.state',
                          '--socket=/run/tailscale/tailscaled.sock', '--port=41641')
    assert found.environ == {'LANG': 'C.UTF-8', 'SSL_CERT_FILE': '/etc/ua_overlay/ca.pem', 'GREETING': 'two words',
                             'PORT': '41641', 'FLAGS': ''}
    assert found.arguments == DaemonArguments(socket='/run/tailscale/tailscaled.sock', port=41641)


@pytest.mark.parametrize('flags, changed', [
    ('--statedir=/data/ts', {'state': '/var/lib/tailscale/tailscaled.state',
                             'directories': ('/data/ts', '/var/lib/tailscale')}),
    ('-state /data/ts/robot.state', {'state': '/data/ts/robot.state', 'directories': ('/data/ts',)}),
    ('--socket=/data/ts.sock --tun=ts0', {'socket': '/data/ts.sock', 'interface': 'ts0'}),
    ('--tun userspace-networking', {'interface': ''}), ('--state=mem:', {'state': '', 'directories': ()}),
    ('--state=tpmseal:/data/ts/x', {'state': '/data/ts/x', 'directories': ('/data/ts',)}),
    ('--port=443 --verbose=1 --no-logs-no-support', {'port': 443}), ('--port=x', {'port': 0})])
def test_flags_of_the_owner(flags, changed):
    found = unit('PORT=41641\nFLAGS="{}"\n'.format(flags)).arguments
    expected = DaemonArguments(socket='/run/tailscale/tailscaled.sock', port=41641)
    assert found == expected._replace(**changed)


def test_a_state_directory_alone():
    assert parse_arguments(['--statedir=/data/ts']) == DaemonArguments('/data/ts/tailscaled.state', ('/data/ts',))
    assert parse_arguments([]) == DaemonArguments()
    assert parse_arguments(['--state=tailscaled.state', '--tun=']).directories == ()


def test_variables_override_each_other_in_the_order_of_systemd():
    manager = 'HTTPS_PROXY=http://a:1\nSSL_CERT_FILE=/x\n'
    assert unit(manager=manager).environ['HTTPS_PROXY'] == 'http://a:1'
    assert unit(manager=manager).environ['SSL_CERT_FILE'] == '/etc/ua_overlay/ca.pem'
    found = unit('# x\n; y\n\nHTTPS_PROXY = "http://b:1"\nHTTPS_PROXY=\'http://b:2\'\nLONG=a\\\nb\nODD="a\n1X=2\n',
                 manager=manager)
    assert found.environ['HTTPS_PROXY'] == 'http://b:2'
    assert (found.environ['LONG'], found.environ['ODD'], '1X' in found.environ) == ('ab', '"a', False)


@pytest.mark.parametrize('shown', ['', 'LoadState=not-found\n', 'LoadState=loaded\nExecStart=\n', 'nonsense'])
def test_a_machine_without_the_unit(shown):
    assert unit(shown=shown) is None


def test_a_machine_without_systemctl(monkeypatch):
    monkeypatch.setenv('PATH', '/nowhere')
    assert read_unit() is None


def test_a_unit_of_the_owner():
    """A full copy below /etc/systemd/system: another program, several files, and a dollar sign."""
    shown = SHOWN.replace('/usr/sbin/tailscaled --state', '/opt/ts/tailscaled --state').replace(
        '$FLAGS', '$FLAGS ${NONE}x $$y')
    assert unit('FLAGS=--a --b', shown).argv[-4:] == ('--a', '--b', 'x', '$y')


@pytest.mark.parametrize('changed, words', [({'interface': ''}, 'network interface'), ({'state': ''}, 'no file')])
def test_arguments_with_which_ros_cannot_use_the_overlay(changed, words):
    with pytest.raises(OverlayError, match=words):
        daemon_unit.check_arguments(DaemonArguments()._replace(**changed))
    daemon_unit.check_arguments(DaemonArguments())
