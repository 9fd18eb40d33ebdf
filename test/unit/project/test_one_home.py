"""One home per fact: values that ua_overlay.defaults and ua_overlay.link_types hold stand nowhere else in src/.

What repeats one because it cannot import it (the launch file, the hook of a shell, the pages) is compared with its home
here; the Ansible role in test_ansible_defaults.py. Docstrings may have examples.
"""
import ast
import os
import re

import pytest
from paths import ROOT
from rooms import modules, tree_of

from ua_overlay import defaults, link_types

#: The homes.
HOMES = ('defaults', 'link_types')
#: Numbers that are one of these wherever they stand, in a text too.
NUMBERS = {
    defaults.SERVER_PORT: 'SERVER_PORT', defaults.STUN_PORT: 'STUN_PORT', defaults.RELAY_PORT: 'RELAY_PORT',
    defaults.DERP_PORT: 'DERP_PORT', defaults.DAEMON_PORT: 'DAEMON_PORT', defaults.TEAM_PORT: 'TEAM_PORT',
    defaults.LOCAL_MASTER_PORT: 'LOCAL_MASTER_PORT', defaults.EPHEMERAL_PORTS[0]: 'EPHEMERAL_PORTS',
    defaults.EPHEMERAL_PORTS[1]: 'EPHEMERAL_PORTS', defaults.DERP_CERTIFICATE_DAYS: 'DERP_CERTIFICATE_DAYS',
    defaults.INVITATION_LIFETIME: 'INVITATION_LIFETIME'}
#: Texts that are one of these wherever they stand, within a longer one too.
PARTS = {defaults.INTERFACE: 'INTERFACE', defaults.OVERLAY_V4: 'OVERLAY_V4', defaults.OVERLAY_V6: 'OVERLAY_V6',
         defaults.BASE_DOMAIN: 'BASE_DOMAIN', defaults.RELAY_TAG: 'RELAY_TAG', defaults.MASTER_TAG: 'MASTER_TAG',
         defaults.CONFIG_DIR: 'CONFIG_DIR', defaults.DATA_DIR: 'DATA_DIR', defaults.RUN_DIR: 'RUN_DIR'}
#: Texts that are one of these when they stand alone.
WHOLE = {**{kind: 'link_types.' + kind for kind in link_types.ORDER}, defaults.DAEMON_STATE_DIR: 'DAEMON_STATE_DIR'}
#: Tuples and lists of these are one of them.
TUPLES = {frozenset(defaults.ADDRESSING): 'ADDRESSING', defaults.OLDEST_TAILSCALED: 'OLDEST_TAILSCALED',
          defaults.OLDEST_TAILSCALE_FOUND: 'OLDEST_TAILSCALE_FOUND',
          defaults.OLDEST_HEADSCALE_FOUND: 'OLDEST_HEADSCALE_FOUND'}
#: {(module, value): why it is something else there}.
EXCEPTIONS = {
    ('clock', 3600): 'seconds of an hour',
    ('server.process', 3600): 'seconds of an hour',
    ('measure.report.long_run', 3600): 'seconds of an hour',
    ('measure.campaign.campaign', 3600): 'the longest time-out of a link',
    ('measure.tools.ping', 3600): 'the longest pause between two pings',
    ('checks.finding', 'UNKNOWN'): 'a level of findings',
    ('nodes.server_probe', 'UNKNOWN'): 'a state of the server',
    ('cli.derp', 'DERP'): 'a kind of server',
    ('cli.shared.remote_host', 'DERP'): 'a kind of server',
    ('relays.check', 'DERP'): 'a kind of server',
    ('wire.encryption', 8080): 'the port of a page in a lab',
}


def constants(tree):
    """(node, value) of every constant that is no docstring; of tuples, lists and sets of constants, too."""
    documents = {id(node.body[0].value) for node in ast.walk(tree)
                 if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and node.body
                 and isinstance(node.body[0], ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in documents and not isinstance(node.value, bool):
            yield node, node.value
        elif isinstance(node, (ast.Tuple, ast.List, ast.Set)):
            items = [item.value for item in node.elts if isinstance(item, ast.Constant)]
            if len(items) == len(node.elts):
                yield node, tuple(items)


def home_of(value):
    """(what of a constant has a home, the home's name), or None."""
    if isinstance(value, tuple):
        home = TUPLES.get(value) or (TUPLES.get(frozenset(value)) if len(value) == 2 else None)
        return home and (value, home)
    if isinstance(value, (int, float)):
        return (int(value), NUMBERS[value]) if value in NUMBERS else None
    if not isinstance(value, str):
        return None
    if value in WHOLE:
        return value, WHOLE[value]
    found = [(part, home) for part, home in PARTS.items() if re.search(re.escape(part) + r'(?![\w-])', value)]
    found += [(int(word), NUMBERS[int(word)]) for word in re.findall(r'(?<![\w.])\d{4,5}(?!\w|\.\d)', value)
              if int(word) in NUMBERS]
    return found[0] if found else None


def homeless(dotted, tree):
    """Sentences about the constants of a module that have a home elsewhere."""
    for node, value in constants(tree):
        found = home_of(value)
        if found and (dotted, found[0]) not in EXCEPTIONS:
            yield 'line {} spells {!r}: use {}'.format(node.lineno, found[0], found[1])


@pytest.mark.parametrize('dotted, path', [(dotted, path) for dotted, path in modules() if dotted not in HOMES],
                         ids=lambda value: value.replace(ROOT, ''))
def test_values_are_defined_once(dotted, path):
    assert list(homeless(dotted, tree_of(path))) == []


def test_every_exception_is_still_needed():
    there = set()
    for dotted, path in modules():
        there |= {(dotted, (home_of(value) or (None,))[0]) for _, value in constants(tree_of(path))}
    assert sorted(map(str, set(EXCEPTIONS) - there)) == []


@pytest.mark.parametrize('source, home', [
    ('PORT = 11312', 'TEAM_PORT'), ('x = "http://localhost:11311"', 'LOCAL_MASTER_PORT'),
    ('f(tun="tailscale0")', 'INTERFACE'), ('x = 3600.0', 'INVITATION_LIFETIME'), ('x = "UDP 40000 open"', 'RELAY_PORT'),
    ('range = (32768, 60999)', 'EPHEMERAL_PORTS'), ('x = "100.64.0.0/10"', 'OVERLAY_V4'),
    ('x = ["names", "addresses"]', 'ADDRESSING'), ('x = {"addresses", "names"}', 'ADDRESSING'),
    ('x = "PEER_RELAY"', 'link_types.PEER_RELAY'), ('days = 398', 'DERP_CERTIFICATE_DAYS'),
    ('MINIMUM = (1, 80)', 'OLDEST_TAILSCALED'), ('x = "/etc/ua_overlay/x.nft"', 'CONFIG_DIR'),
    ('x = "8080 (control)"', 'SERVER_PORT'), ('x = "{} has tag:relay"', 'RELAY_TAG')])
def test_detected_duplicates(source, home):
    assert home in ' '.join(homeless('x.y', ast.parse(source)))


@pytest.mark.parametrize('source', [
    '"""On port 11312 of tailscale0."""', 'def f():\n    "At 8080."', 'x = 113120', 'x = "1.11312"', 'x = "names"',
    'x = "a DIRECT link"', 'x = "/run/ua_overlay_lab"', 'x = (1, 81)', 'x = "203.0.113.10:80801"', 'x = True'])
def test_allowed_constants(source):
    assert list(homeless('x.y', ast.parse(source))) == []


def read(*parts):
    with open(os.path.join(ROOT, *parts), encoding='utf-8') as stream:
        return stream.read()


@pytest.mark.parametrize('path, text', [
    (('launch', 'overlay.launch'), '({})'.format(defaults.LOCAL_MASTER_URI)),
    (('launch', 'overlay.launch'), '({} unless the team has another)'.format(defaults.TEAM_PORT)),
    (('launch', 'overlay.launch'), defaults.ROBOT_FILE),
    (('env-hooks', '50.ua_overlay.sh'), '    {}) ;;'.format(defaults.LOCAL_MASTER_URI)),
    (('env-hooks', '10.roslaunch.sh'),
     'ROS_MASTER_URI={0} _UA_OVERLAY_DEFAULT={0}\n'.format(defaults.LOCAL_MASTER_URI)),
    (('README.md',), 'TCP {}, UDP {} and UDP {}'.format(defaults.SERVER_PORT, defaults.STUN_PORT, defaults.RELAY_PORT)),
    (('README.md',), 'port {} (the local graph has {})'.format(defaults.TEAM_PORT, defaults.LOCAL_MASTER_PORT)),
    (('docs', 'ros.md'), 'ROS_MASTER_URI=http://dev-1.{}:{}\n'.format(defaults.BASE_DOMAIN, defaults.TEAM_PORT)),
    (('docs', 'operate.md'), 'iris: {{port: {}, '.format(defaults.TEAM_PORT)),
    (('docs', 'operate.md'), 'TCP {} and UDP {} for a DERP'.format(defaults.DERP_PORT, defaults.STUN_PORT)),
    (('docs', 'operate.md'), 'of a DERP host** lasts {} days'.format(defaults.DERP_CERTIFICATE_DAYS)),
    (('docs', 'ansible.md'), '| {}, `names` |'.format(defaults.TEAM_PORT)),
    (('docs', 'operate.md'), 'A CA lives {} years'.format(defaults.CA_YEARS)),
    (('docs', 'architecture.md'), "server's certificate lives {} days".format(defaults.SERVER_CERTIFICATE_DAYS)),
    (('docs', 'security.md'), '{} days, renewed by the server'.format(defaults.SERVER_CERTIFICATE_DAYS))],
    ids=lambda value: value if isinstance(value, str) else value[-1])
def test_unavoidable_copies_are_equal(path, text):
    assert text in read(*path)
