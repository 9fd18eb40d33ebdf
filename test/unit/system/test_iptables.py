"""iptables as a program: the real one, in a network namespace of its own, where it is installed."""
import os
import shutil
import subprocess
import sys

import pytest

from ua_overlay.system import iptables
from ua_overlay.system.iptables import Chain, IptablesError, Listed

CHAIN = Chain('ours', 'OUTPUT', ('-o lo -j RETURN', '-d 203.0.113.10/32 -j RETURN',
                                 '-p tcp -m tcp --dport 9 -j REJECT --reject-with tcp-reset'),
              ('-o lo -j RETURN', '-p tcp -m tcp --dport 9 -j REJECT --reject-with tcp-reset'))
VARIANTS = [[name + variant for name in ('iptables', 'ip6tables')] for variant in ('', '-legacy', '-nft')]
FOUND = [variant for variant in VARIANTS if shutil.which(variant[0]) and os.geteuid() == 0]
real = pytest.mark.skipif(not FOUND, reason='There is no iptables on this machine, or this is not root.')


def in_namespace(code, *words):
    """Run Python code in a network namespace of its own, with this process's modules; return its output."""
    done = subprocess.run(['unshare', '--net', sys.executable, '-c', 'from ua_overlay.system import iptables\n'
                           'from ua_overlay.system.iptables import Chain\nimport sys, subprocess\n' + code] +
                          list(words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True,
                          env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)))
    assert done.returncode == 0, done.stderr
    return done.stdout


@real
@pytest.mark.parametrize('programs', FOUND)
def test_loaded_twice_listed_and_removed(programs):
    output = in_namespace('''
chain, programs = eval(sys.argv[1]), sys.argv[2:]
print(iptables.list_chain('ours', 'OUTPUT', programs))
iptables.try_rules(chain, programs)
print(iptables.list_chain('ours', 'OUTPUT', programs))
for _ in range(2):
    iptables.load(iptables.script(chain, programs, '# a header'))
print(iptables.list_chain('ours', 'OUTPUT', programs))
subprocess.run([programs[0], '-D', 'OUTPUT', '-j', 'ours'], check=True)
print(iptables.list_chain('ours', 'OUTPUT', programs))
subprocess.run(iptables.removal('ours', 'OUTPUT', programs), check=True)
print(iptables.list_chain('ours', 'OUTPUT', programs))
print(subprocess.run([programs[0], '-S'], stdout=subprocess.PIPE, universal_newlines=True).stdout.count('ours'))
''', repr(CHAIN), *programs).splitlines()
    none = repr(Listed(None, None, False, 0))
    assert output[:2] == [none, none]
    assert output[2] == repr(Listed(CHAIN.rules4, CHAIN.rules6, True, 0))
    assert output[3] == repr(Listed(CHAIN.rules4, CHAIN.rules6, False, 0))
    assert output[4:] == [none, '0']


@real
@pytest.mark.parametrize('programs', FOUND)
def test_a_refused_packet_is_counted(programs):
    output = in_namespace('''
import socket
chain, programs = eval(sys.argv[1])._replace(rules4=(eval(sys.argv[1]).rules4[2],)), sys.argv[2:]
subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=True)
iptables.load(iptables.script(chain, programs))
try:
    socket.create_connection(('127.0.0.1', 9), 5)
except ConnectionRefusedError:
    print(iptables.list_chain('ours', 'OUTPUT', programs).refused)
''', repr(CHAIN), *programs)
    assert output == '1\n'


@real
def test_a_refused_rule_leaves_nothing():
    output = in_namespace('''
chain, programs = eval(sys.argv[1])._replace(rules4=('-m nonsense -j RETURN',)), sys.argv[2:]
for step in (lambda: iptables.try_rules(chain, programs),
             lambda: iptables.load(iptables.script(chain, programs), 'again')):
    try:
        step()
    except iptables.IptablesError as error:
        print(error.sentence, '|', error.next_command)
print(subprocess.run([programs[0], '-S'], stdout=subprocess.PIPE, universal_newlines=True).stdout.count('ours'))
''', repr(CHAIN), *FOUND[0]).splitlines()
    assert output[0].startswith('iptables refused: ') and 'nonsense' in output[0] and output[2] == '0'
    assert output[1].endswith('| again')


def test_installed_variants(tmp_path, monkeypatch):
    monkeypatch.setattr(iptables, '_IPV6', str(tmp_path / 'none'))
    monkeypatch.setattr(iptables.shutil, 'which', lambda name, path: '/sbin/' + name if 'legacy' in name else None)
    assert iptables.find_iptables() == [('/sbin/iptables-legacy',)]
    assert iptables.find_iptables(ipv6=True) == [('/sbin/iptables-legacy', '/sbin/ip6tables-legacy')]
    monkeypatch.setattr(iptables.shutil, 'which', lambda name, path: '/sbin/' + name if name == 'iptables' else None)
    assert iptables.find_iptables(ipv6=True) == []  # half of a rule is none


def test_a_program_that_fails(tmp_path):
    program = tmp_path / 'iptables'
    program.write_text('#!/bin/sh\necho "\033[2Jcannot initialize table" >&2\nexit 3\n')
    for name in ('iptables', 'iptables-restore'):
        (tmp_path / name).write_text(program.read_text())
        (tmp_path / name).chmod(0o755)
    with pytest.raises(IptablesError, match='cannot initialize table') as caught:
        iptables.try_rules(CHAIN, (str(program),))
    assert '\033' not in caught.value.sentence and caught.value.next_command == iptables.INSTALL
    with pytest.raises(IptablesError, match='cannot be run'):
        iptables.list_chain('ours', 'OUTPUT', (str(tmp_path / 'gone'),))
