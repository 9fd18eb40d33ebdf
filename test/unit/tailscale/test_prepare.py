"""`robot prepare` below a root directory of the test: what it writes; it can be repeated, resumed and undone."""
import json
import os
import shutil
import stat
import subprocess

import pytest
from paths import DATA

from ua_overlay import defaults
from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.firewall import egress
from ua_overlay.firewall.backend import IPTABLES, NFT, Backend
from ua_overlay.system import recipe as recipes
from ua_overlay.tailscale import prepare
from ua_overlay.tailscale.daemon_unit import DaemonArguments

NFTABLES = Backend(NFT, ('/usr/sbin/nft',))
CA = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'


def recipe(user='robot', manager='systemd', ca=CA, daemon=None):
    return prepare.make_recipe(user, ca, '/opt/ua/scripts/ua-overlay', '/opt/ua/src', manager, daemon)


class Root:
    """A root directory, and the commands that would have run."""

    def __init__(self, path):
        self.path = str(path)
        self.ran = []
        self.fail = None
        #: Commands that hold: '*' for all.
        self.holds = set()

    def ask(self, argv):
        return '*' in self.holds or ' '.join(argv) in self.holds

    def applier(self):
        return prepare.applier(self.path, self.run, None, self.ask)

    def run(self, argv):
        if self.fail and self.fail in argv:
            raise OverlayError('`{}` failed.'.format(' '.join(argv)))
        self.ran.append(' '.join(argv))

    def place(self, path):
        return os.path.join(self.path, path.lstrip('/'))

    def read(self, path):
        with open(self.place(path)) as stream:
            return stream.read()

    def tree(self):
        found = {}
        for directory, names, files in os.walk(self.path):
            for name in names + files:
                place = os.path.join(directory, name)
                text = None
                if os.path.isfile(place):
                    with open(place) as stream:
                        text = stream.read()
                found[os.path.relpath(place, self.path)] = (stat.S_IMODE(os.stat(place).st_mode), text)
        return found


@pytest.fixture
def root(tmp_path):
    for name in ('etc/systemd/system', 'var/lib', 'run'):
        (tmp_path / name).mkdir(parents=True)
    return Root(tmp_path)


def test_written_files(root):
    changed = root.applier().apply(recipe())
    assert root.read(defaults.CA_FILE) == CA
    assert stat.S_IMODE(os.stat(root.place(defaults.CA_FILE)).st_mode) == 0o644
    drop_in = root.read(prepare.DROP_IN)
    assert 'Environment=SSL_CERT_FILE=/etc/ua_overlay/ca.pem\n' in drop_in
    assert 'Environment=TS_NO_LOGS_NO_SUPPORT=true\n' in drop_in
    unit = root.read(prepare.AGENT_UNIT)
    assert 'ExecStart=/opt/ua/scripts/ua-overlay robot agent --user robot\n' in unit
    assert 'Environment=PYTHONPATH=/opt/ua/src\n' in unit
    assert os.path.isdir(root.place(defaults.STATE_DIR)) and os.path.isdir(root.place('/run/ua_overlay'))
    assert root.read(prepare.TMPFILES) == 'd /run/ua_overlay 0755 robot - -\n'
    assert defaults.CA_FILE in changed and prepare.DROP_IN in changed
    assert root.ran.index('systemctl daemon-reload') < root.ran.index('systemctl restart tailscaled.service') < \
        root.ran.index('systemctl restart ua-overlay-agent.service')


def test_a_second_run_changes_and_restarts_nothing(root):
    root.applier().apply(recipe())
    before = root.tree()
    root.ran.clear()
    assert root.applier().apply(recipe()) == set()
    assert root.tree() == before
    assert not [line for line in root.ran if 'restart' in line or 'daemon-reload' in line]


def test_a_new_ca_restarts_tailscaled_but_not_the_agent(root):
    root.applier().apply(recipe())
    root.ran.clear()
    assert root.applier().apply(recipe(ca=CA.replace('AAAA', 'BBBB'))) == {defaults.CA_FILE}
    assert 'systemctl restart tailscaled.service' in root.ran
    assert 'systemctl restart ua-overlay-agent.service' not in root.ran


def test_the_next_run_completes_an_interrupted_one(root):
    root.fail = 'restart'
    with pytest.raises(OverlayError):
        root.applier().apply(recipe())
    root.fail = None
    root.ran.clear()
    root.applier().apply(recipe())
    assert 'systemctl restart tailscaled.service' in root.ran and 'systemctl daemon-reload' in root.ran


def test_undo_restores_everything(root):
    os.makedirs(os.path.dirname(root.place(prepare.DROP_IN)))
    with open(root.place(prepare.DROP_IN), 'w') as stream:
        stream.write('[Service]\nEnvironment=MINE=1\n')
    os.chmod(root.place(prepare.DROP_IN), 0o640)
    os.makedirs(root.place(defaults.STATE_DIR), 0o700)
    before = root.tree()
    root.applier().apply(recipe(daemon='/opt/tailscaled'))
    root.applier().apply(recipe(user='other', ca=CA + CA, daemon='/opt/tailscaled'))
    assert root.applier().undo([['stop', 'it']], [['reload']]) == []
    assert root.tree() == before
    assert root.ran[root.ran.index('stop it'):] == [
        'stop it', 'systemctl stop ua-overlay-agent.service', 'systemctl disable ua-overlay-agent.service',
        'systemctl stop tailscaled.service', 'systemctl disable tailscaled.service', 'reload']
    assert root.applier().undo() is None


def test_a_running_service_runs_again_after_undo(root):
    root.holds = {'systemctl is-enabled --quiet tailscaled.service', 'systemctl is-active --quiet tailscaled.service'}
    root.applier().apply(recipe())
    assert 'systemctl restart tailscaled.service' in root.ran
    assert 'systemctl enable tailscaled.service' not in root.ran
    assert 'systemctl start tailscaled.service' not in root.ran
    # Now that everything holds, a second run must not forget what undo has to take back.
    root.holds = {'*'}
    root.applier().apply(recipe())
    root.ran.clear()
    root.applier().undo()
    assert root.ran == ['systemctl stop ua-overlay-agent.service', 'systemctl disable ua-overlay-agent.service']


def test_only_the_original_state_is_recorded(root):
    root.applier().remember('operator', 'pi')
    root.applier().remember('operator', 'robot')
    root.applier().apply(recipe())
    assert root.applier().remembered('operator') == 'pi'
    root.applier().undo()
    assert root.applier().remembered('operator') is None and not root.applier().applied()


def test_undo_leaves_files_that_were_edited_since(root):
    root.applier().apply(recipe())
    with open(root.place(prepare.DROP_IN), 'a') as stream:
        stream.write('Environment=MINE=1\n')
    with open(root.place(defaults.STATE_DIR + '/settings.yaml'), 'w') as stream:
        stream.write('team: iris\n')
    notes = root.applier().undo()
    assert len(notes) == 2 and prepare.DROP_IN in ' '.join(notes) and defaults.STATE_DIR in ' '.join(notes)
    assert 'MINE' in root.read(prepare.DROP_IN)
    assert not os.path.exists(root.place(defaults.CA_FILE))


def test_only_root_can_change_what_undo_restores(root):
    os.makedirs(os.path.dirname(root.place(prepare.TMPFILES)))
    with open(root.place(prepare.TMPFILES), 'w') as stream:
        stream.write('old\n')
    root.applier().apply(recipe())
    manifest = root.place(prepare.MANIFEST)
    assert stat.S_IMODE(os.stat(manifest).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(root.place(recipes.BEFORE_DIR)).st_mode) == 0o755
    assert not recipes.BEFORE_DIR.startswith(defaults.STATE_DIR)  # that one is the user's
    with open(manifest) as stream:
        assert json.load(stream)['files'][prepare.TMPFILES]['before']


def test_a_damaged_manifest(root):
    root.applier().apply(recipe())
    with open(root.place(prepare.MANIFEST), 'w') as stream:
        stream.write('{')
    with pytest.raises(OverlayError) as caught:
        root.applier().apply(recipe())
    assert prepare.MANIFEST in str(caught.value)


def test_without_systemd_no_unit_is_written(root):
    plan = recipe(manager='none')
    root.applier().apply(plan)
    assert root.ran == [] and not os.path.exists(root.place(prepare.DROP_IN))
    by_hand = ' '.join(plan.by_hand)
    assert 'SSL_CERT_FILE=/etc/ua_overlay/ca.pem' in by_hand and 'robot agent --user robot' in by_hand
    assert 'rm -rf "/var/lib/tailscale"/profile-data/*/netmap-cache' in by_hand


def test_a_machine_without_tailscaled_service_gets_one(root):
    root.applier().apply(recipe(daemon='/var/cache/ua_overlay/tools/tailscaled'))
    assert 'ExecStart=/var/cache/ua_overlay/tools/tailscaled --state=/var/lib/tailscale/tailscaled.state ' in \
        root.read(prepare.DAEMON_UNIT)


def test_owners(tmp_path):
    if os.geteuid() != 0:
        pytest.skip('only root can give files away')
    root = Root(tmp_path)
    applier = prepare.applier(root.path, root.run, owner_of=lambda user: (65534, 65534))
    applier.apply(recipe())
    assert os.stat(root.place(defaults.RUN_DIR)).st_uid == 65534
    assert os.stat(root.place(defaults.CONFIG_DIR)).st_uid == 0


def test_undo_restores_the_owners_of_directories(tmp_path):
    if os.geteuid() != 0:
        pytest.skip('only root can give files away')
    root = Root(tmp_path)
    os.makedirs(root.place(defaults.STATE_DIR))
    os.chown(root.place(defaults.STATE_DIR), 12, 34)
    applier = prepare.applier(root.path, root.run, owner_of=lambda user: (65534, 65534), ask=root.ask)
    applier.apply(recipe())
    assert os.stat(root.place(defaults.STATE_DIR)).st_uid == 65534
    applier.undo()
    found = os.stat(root.place(defaults.STATE_DIR))
    assert (found.st_uid, found.st_gid) == (12, 34)


def test_a_drop_in_not_in_force():
    good = {'SSL_CERT_FILE': defaults.CA_FILE, 'TS_NO_LOGS_NO_SUPPORT': 'true'}
    prepare.check_in_force(good)
    for name in good:
        with pytest.raises(OverlayError) as caught:
            prepare.check_in_force(dict(good, **{name: 'other'}))
        assert name + '=other' in str(caught.value)


def test_describe_and_users():
    lines = recipes.describe(recipe())
    assert 'write /etc/ua_overlay/ca.pem (0644)' in lines and 'make /run/ua_overlay for robot' in lines
    with pytest.raises(UsageError):
        recipes.uid_of('no-such-user')


def test_a_failed_command_is_reported_with_its_output():
    with pytest.raises(OverlayError) as caught:
        recipes.run_command(['sh', '-c', 'echo first; echo it broke >&2; exit 3'])
    assert 'it broke' in str(caught.value)
    with pytest.raises(OverlayError):
        recipes.run_command(['no-such-program'])


def test_the_egress_rule_is_part_of_the_recipe(root):
    def limited(address='203.0.113.10', manager='systemd'):
        return prepare.make_recipe('robot', CA, '/opt/ua/scripts/ua-overlay', '/opt/ua/src', manager, None,
                                   egress.ruleset(egress.ROBOT, egress.Settings((address,)), NFTABLES), NFTABLES)

    assert egress.ROBOT.rules in root.applier().apply(limited())
    load = '/usr/sbin/nft -f /etc/ua_overlay/egress.nft'
    # Before tailscaled starts again with what else was written.
    assert root.ran.index(load) < root.ran.index('systemctl restart tailscaled.service')
    root.holds.add('*')
    root.ran.clear()
    assert root.applier().apply(limited()) == set() and root.ran == []
    assert root.applier().apply(limited('203.0.113.11')) == {egress.ROBOT.rules} and root.ran == [load]
    root.applier().undo()
    assert ' '.join(egress.delete_argv(egress.ROBOT, NFTABLES)) in root.ran
    assert not os.path.exists(root.place(egress.ROBOT.rules))
    by_hand = limited(manager='none').by_hand
    assert any(load in sentence for sentence in by_hand)
    assert not any('nft' in sentence for sentence in recipe(manager='none').by_hand)


@pytest.mark.skipif(shutil.which('systemd-analyze') is None, reason='There is no systemd-analyze on this machine.')
@pytest.mark.parametrize('unit, most', [('vendor', 30), ('ours', 30), ('agent', 21)])
def test_systemd_accepts_the_sandboxes(tmp_path, unit, most):
    """tailscaled's own unit scores 9.6 of 10, as an empty one does."""
    made = recipe(daemon='/bin/true')
    text = {item.path: item.text for item in made.files}
    vendor = os.path.join(DATA, 'tailscale')
    with open(os.path.join(vendor, 'tailscaled.service')) as stream:
        shipped = stream.read().replace('/usr/sbin/tailscaled', '/bin/true')
    content = {'vendor': shipped + text[prepare.DROP_IN], 'ours': text[prepare.DAEMON_UNIT] + text[prepare.DROP_IN],
               'agent': text[prepare.AGENT_UNIT].replace('/opt/ua/scripts/ua-overlay', '/bin/true')}[unit]
    path = tmp_path / 'sandbox.service'
    path.write_text(content)
    done = subprocess.run(['systemd-analyze', 'verify', str(path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          universal_newlines=True)
    assert (done.returncode, done.stdout) == (0, '')
    done = subprocess.run(['systemd-analyze', 'security', '--offline=true', '--no-pager',
                           '--threshold={}'.format(most), str(path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          universal_newlines=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.fault('case 13', 'A kernel without a packet filter, and robot prepare with --no-egress',
                   behaviour='what an earlier run left of the egress rule is removed',
                   reported='at once: the command lists what it removed', recovery='with that run', lost='nothing')
def test_without_the_egress_rule_nothing_of_an_earlier_one_is_left(root):
    rules = egress.ruleset(egress.ROBOT, egress.Settings(('203.0.113.10',)), NFTABLES)
    root.applier().apply(prepare.make_recipe('robot', CA, '/opt/ua', '/opt', 'systemd', None, rules, NFTABLES))
    root.ran.clear()
    root.fail = '/usr/sbin/nft'  # as on a kernel that refuses the table, and its removal too
    applier = root.applier()
    assert applier.apply(recipe()) >= {egress.ROBOT.rules, egress.unit_path(egress.ROBOT)}
    assert 'systemctl stop ua-overlay-egress.service' in root.ran and 'systemctl daemon-reload' in root.ran
    assert not os.path.exists(root.place(egress.ROBOT.rules)) and len(applier.notes) == 1
    assert not os.path.exists(root.place(egress.unit_path(egress.ROBOT)))
    root.fail = None
    assert root.applier().undo() == []


def test_iptables_replaces_nftables(root):
    """The kernel was replaced by one without nf_tables."""
    old = Backend(IPTABLES, ('/usr/sbin/iptables', '/usr/sbin/ip6tables'))
    settings = egress.Settings(('203.0.113.10',))

    def limited(backend):
        return prepare.make_recipe('robot', CA, '/opt/ua', '/opt', 'systemd', None,
                                   egress.ruleset(egress.ROBOT, settings, backend), backend)

    root.applier().apply(limited(NFTABLES))
    changed = root.applier().apply(limited(old))
    assert {'/etc/ua_overlay/egress.nft', '/etc/ua_overlay/egress.iptables', prepare.AGENT_UNIT} <= changed
    assert '/bin/sh /etc/ua_overlay/egress.iptables' in root.ran
    agent = root.read(prepare.AGENT_UNIT)
    assert 'CAP_NET_ADMIN CAP_NET_RAW\n' in agent and 'ReadWritePaths=/etc /run\n' in agent


STATE_ELSEWHERE = DaemonArguments('/data/my ts/tailscaled.state', ('/data/my ts', '/var/lib/tailscale'))


@pytest.mark.fault('case 10', 'The owner moved the state of tailscaled (a read-only root, --statedir=/data/ts)',
                   behaviour='the sandbox lets tailscaled write there', reported='nothing to report',
                   recovery='none needed', lost='nothing')
@pytest.mark.parametrize('arguments, lines', [
    (STATE_ELSEWHERE, ['RequiresMountsFor="/data/my ts"', 'ExecStartPre=-+/bin/mkdir -p -m 700 "/data/my ts"',
                       'ReadWritePaths=/etc /run -/var/lib/tailscale -/var/cache/tailscale "-/data/my ts"']),
    (DaemonArguments(socket='/data/ts.sock'), [
        'ExecStartPost=-+/bin/ln -sfn /data/ts.sock /run/tailscale/tailscaled.sock',
        'ReadWritePaths=/etc /run -/var/lib/tailscale -/var/cache/tailscale -/data']),
    (DaemonArguments(port=443), ['CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW CAP_NET_BIND_SERVICE'])])
def test_the_drop_in_follows_the_units_own_arguments(arguments, lines):
    text = prepare.drop_in(arguments).split('\n')
    assert [line for line in lines if line not in text] == []
    usual = prepare.drop_in(DaemonArguments(socket='/run/tailscale/tailscaled.sock', port=41641)).split('\n')
    assert [line for line in lines if line in usual] == []
    assert not any(line.startswith(('RequiresMountsFor', 'ExecStartPost')) for line in usual)


@pytest.mark.skipif(shutil.which('systemd-analyze') is None, reason='There is no systemd-analyze on this machine.')
def test_systemd_accepts_the_drop_in_of_an_owner_who_moved_everything(tmp_path):
    text = prepare.drop_in(STATE_ELSEWHERE._replace(socket='/data/ts.sock', port=443), True)
    path = tmp_path / 'sandbox.service'
    path.write_text(text + '[Service]\nExecStart=/bin/true\n')
    done = subprocess.run(['systemd-analyze', 'verify', str(path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          universal_newlines=True)
    assert (done.returncode, done.stdout) == (0, '')


def test_a_proxy_is_not_asked_for_the_vendors_hosts(root):
    """tailscaled falls back to them while the site's server does not answer (net/dnsfallback), by its proxy too."""
    def proxied(no_proxy):
        return prepare.make_recipe('robot', CA, '/opt/ua', '/opt', 'systemd', no_proxy=no_proxy)

    root.applier().apply(proxied('.lan,10.0.0.0/8'))
    assert 'NO_PROXY=.lan,10.0.0.0/8,.tailscale.com,.tailscale.io\n' in root.read(prepare.PROXY_FILE)
    assert 'EnvironmentFile=-/etc/ua_overlay/proxy.env\n' in root.read(prepare.DROP_IN)
    root.ran.clear()
    root.applier().apply(proxied(''))
    assert 'NO_PROXY=.tailscale.com,.tailscale.io\n' in root.read(prepare.PROXY_FILE)
    assert 'systemctl restart tailscaled.service' in root.ran
    assert prepare.PROXY_FILE in root.applier().apply(recipe())
    assert not os.path.exists(root.place(prepare.PROXY_FILE))
    assert any('.tailscale.com' in each for each in prepare.make_recipe(
        'robot', CA, '/opt/ua', '/opt', 'none', no_proxy='').by_hand)
