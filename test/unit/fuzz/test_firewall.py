"""Rules files, answers of nft and iptables, and settings of tailscaled: a value or an OverlayError, nothing else."""
import json
import string

from hypothesis import example, given
from hypothesis import strategies as st

from ua_overlay.errors import OverlayError
from ua_overlay.firewall import egress, egress_table, guard
from ua_overlay.firewall.backend import IPTABLES, NFT, Backend
from ua_overlay.firewall.egress import Settings
from ua_overlay.firewall.guard import Guard
from ua_overlay.system import http_proxy, nft
from ua_overlay.system.iptables import Listed
from ua_overlay.tailscale import daemon_unit, tailnet

JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
                    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
                    max_leaves=25)
BACKENDS = (Backend(NFT, ('/usr/sbin/nft',)), Backend(IPTABLES, ('/sbin/iptables', '/sbin/ip6tables')))
ADDRESSES = st.lists(st.ip_addresses().filter(lambda address: getattr(address, 'scope_id', None) is None).map(str),
                     max_size=5).map(tuple)
NAMES = st.text(string.ascii_letters + string.digits + '-_.', max_size=40)
#: Keys that nft uses, so that a part of the random values comes far.
NFT_JSON = st.recursive(
    st.sampled_from(['output', 'names', 'refused', '!=', 'return', 3, None, True, '203.0.113.10']),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(
        ['nftables', 'chain', 'rule', 'set', 'elem', 'val', 'expr', 'match', 'left', 'right', 'op', 'hook', 'name',
         'counter', 'packets', 'goto', 'target', 'reject']), inner, max_size=5), max_leaves=30)


@given(st.text() | JSON.map(lambda value: '# settings: ' + json.dumps(value)))
@example('# settings: ' + '[' * 100000)
@example('# settings: {"addresses": ["::1%eth0"], "interface": "", "names": [], "proxies": [], "user": ""}')
def test_any_text_as_a_rules_file(text):
    assert egress.parse_settings(text) is None or isinstance(egress.parse_settings(text), Settings)
    assert guard.parse_settings(text) is None or isinstance(guard.parse_settings(text), Guard)


@given(ADDRESSES, st.sampled_from(BACKENDS), st.lists(NAMES, max_size=3).map(tuple))
def test_settings_survive_their_file(addresses, backend, names):
    settings = Settings(tuple(sum(egress.split(addresses), [])), '', 'tailscale0', ('http://proxy:3128',), names)
    assert egress.parse_settings(egress.ruleset(egress.ROBOT, settings, backend)) == settings


@given(st.lists(st.text(max_size=30), max_size=3).map(tuple))
def test_no_name_escapes_into_the_rules(names):
    text = egress.ruleset(egress.SERVER, Settings(user='daemon', names=names), BACKENDS[0])
    body = [line for line in text.split('\n') if '@th' in line]
    assert all(set(line) <= set(string.ascii_lowercase + string.digits + '@,x \t') for line in body)
    assert text.count('\n# settings: ') == 1 and text.split('\n')[2].startswith('# One transaction')


@given(st.text() | JSON.map(json.dumps) | NFT_JSON.map(lambda value: json.dumps({'nftables': value})))
@example('[' * 100000)
@example('{"nftables": [1e999]}')
def test_any_answer_of_nft(text):
    for user in ('', 'daemon'):
        assert egress_table.parse(text, Settings(user=user)).state in (egress_table.CHANGED, egress_table.IN_FORCE)
    try:
        assert isinstance(nft.refused_packets(text, ''), int)
    except OverlayError:
        return


@given(st.lists(st.text(max_size=40), max_size=12).map(tuple), st.none() | st.lists(st.text(max_size=40)).map(tuple))
def test_any_chain_of_iptables(rules4, rules6):
    egress_table.parse_chain(Listed(rules4, rules6, True, 0), egress.ROBOT)


@given(st.text(), st.text(), st.integers(0, 65535))
def test_any_proxy_variable(proxy, excepted, port):
    http_proxy.parse_proxy(proxy)
    http_proxy.bypassed(excepted, 'server.ua.test', port)
    http_proxy.bypassed(excepted, '203.0.113.10', port)


@given(st.text(), st.lists(st.text(max_size=30), max_size=6))
def test_any_unit_of_the_owner(text, words):
    environ = daemon_unit.parse_environment_file(text)
    daemon_unit.parse_arguments(daemon_unit.expand(words, environ))
    daemon_unit.read_unit(lambda _: 'LoadState=loaded\nExecStart={ argv[]=' + text + ' ; ignore_errors=no }\n',
                          lambda _: text)


@given(st.text() | JSON.map(json.dumps), JSON)
def test_any_state_of_tailscaled(text, value):
    try:
        tailnet.parse_state(text)
    except ValueError:
        pass  # what read_state turns into an OverlayError
    tailnet.foreign_profiles(tailnet.parse_profiles(value, value), ('server.ua.test',))


@given(st.dictionaries(st.sampled_from(['AdvertiseRoutes', 'ExitNodeID', 'RouteAll', 'RunSSH', 'AdvertiseServices',
                                        'AppConnector']), JSON), JSON, JSON)
def test_any_preferences_and_profiles(prefs, listed, current):
    assert all(isinstance(each, str) for each in tailnet.losses(prefs))
    profiles = tailnet.parse_profiles([{'ID': 'x', 'ControlURL': listed, 'Name': current}], {'ID': current})
    assert [each.id for each in profiles] == ['x']
