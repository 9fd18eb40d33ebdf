"""Find iptables, try and load rules, list chains; failures raise IptablesError.

For kernels without nf_tables (those of Jetson boards, for instance). A rule is a chain of the table `filter`, in IPv4
and IPv6; a script loads it, because iptables-restore replaces a chain in one step but cannot add a missing jump to it.
"""
import os
import re
import shutil
import subprocess
from typing import List, NamedTuple, Optional, Sequence, Tuple

from ua_overlay.errors import OverlayError
from ua_overlay.printable import printable

INSTALL = 'sudo apt install iptables'
#: Seconds to wait for another program that changes rules (iptables(8), --wait).
WAIT = '5'
_COUNTER = re.compile(r' -c ([0-9]+) [0-9]+')
#: There is no such file where the kernel has no IPv6, or it was switched off at boot.
_IPV6 = '/proc/net/if_inet6'


class IptablesError(OverlayError):
    """It is not installed, this user may not use it, or it refused."""

    code = 'IPTABLES'


class Chain(NamedTuple):
    """A chain of ours, for IPv4 and for IPv6.

    ``rules`` are words after `-A CHAIN`, as `iptables -S` prints them.
    """

    name: str
    #: The chain of the kernel that jumps to it: OUTPUT or INPUT.
    hook: str
    rules4: Tuple[str, ...]
    rules6: Tuple[str, ...]


class Listed(NamedTuple):
    """A chain in the kernel."""

    #: Its rules in IPv4, without counters; None when there is no such chain.
    rules4: Optional[Tuple[str, ...]]
    #: The same in IPv6; None also on a machine without IPv6.
    rules6: Optional[Tuple[str, ...]]
    #: Whether the hook jumps to it, in every protocol that this machine has.
    hooked: bool
    #: Packets that its REJECT rules refused.
    refused: int


def find_iptables(ipv6: Optional[bool] = None) -> List[Tuple[str, ...]]:
    """Return the installed variants, each as the absolute paths of iptables and, on a machine with IPv6, of ip6tables.

    `iptables` may be the variant for nf_tables on a kernel that has none, so iptables-legacy comes second.

    :param ipv6: whether the machine has IPv6; None looks.
    """
    search = os.environ.get('PATH', '') + ':/usr/sbin:/sbin'
    found = []
    for variant in ('', '-legacy'):
        names = ['iptables' + variant]
        if os.path.exists(_IPV6) if ipv6 is None else ipv6:
            names.append('ip6tables' + variant)
        paths = [path for path in (shutil.which(name, path=search) for name in names) if path is not None]
        if len(paths) == len(names):
            found.append(tuple(paths))
    return found


def script(chain: Chain, programs: Sequence[str], header: str = '') -> str:
    """Return a script of sh that loads the chain. Loading it twice has the same effect as once.

    The chain exists before the jump to it, and is replaced in one step afterwards, so it is never half loaded.

    :param programs: of :func:`find_iptables`.
    :param header: lines of comment.
    """
    lines = ['#!/bin/sh -e'] + header.rstrip('\n').split('\n')
    for program, rules in zip(programs, (chain.rules4, chain.rules6)):
        lines += ["{}-restore --noflush --wait {} <<'END'".format(program, WAIT), '*filter',
                  ':{} - [0:0]'.format(chain.name)]
        lines += ['-A {} {}'.format(chain.name, rule) for rule in rules]
        lines += ['COMMIT', 'END', '{0} --wait {1} -C {2} -j {3} 2>/dev/null || {0} --wait {1} -I {2} -j {3}'.format(
            program, WAIT, chain.hook, chain.name)]
    return '\n'.join(lines) + '\n'


def removal(name: str, hook: str, programs: Sequence[str]) -> Tuple[str, ...]:
    """Return the argv that removes a chain and the jump to it, if they exist."""
    parts = ['{0} --wait {1} -D {2} -j {3}; {0} --wait {1} -F {3}; {0} --wait {1} -X {3}'.format(
        program, WAIT, hook, name) for program in programs]
    return ('/bin/sh', '-c', '({}) 2>/dev/null; :'.format('; '.join(parts)))


def presence(name: str, hook: str, programs: Sequence[str]) -> Tuple[str, ...]:
    """Return the argv that exits with 0 if the chain is there and in use."""
    return ('/bin/sh', '-c', ' && '.join('{} --wait {} -C {} -j {} 2>/dev/null'.format(program, WAIT, hook, name)
                                         for program in programs))


def load(text: str, next_command: str = '') -> None:
    """Run a text of :func:`script`.

    :raises IptablesError: a rule was refused.
    """
    done = _run(['/bin/sh', '-e', '-s'], text)
    if done.returncode != 0:
        raise _refused(done, next_command)


def try_rules(chain: Chain, programs: Sequence[str]) -> None:
    """Load the chain's rules under another name, where no packet sees them, and remove them again.

    `iptables-restore --test` does not ask the kernel for the modules of the matches and targets.

    :raises IptablesError: the kernel or iptables refuses one of them.
    """
    trial = chain._replace(name=chain.name[:20] + '_try')
    for program, rules in zip(programs, (chain.rules4, chain.rules6)):
        lines = ['*filter', ':{} - [0:0]'.format(trial.name)] + [
            '-A {} {}'.format(trial.name, rule) for rule in rules] + ['COMMIT', '']
        done = _run([program + '-restore', '--noflush', '--wait', WAIT], '\n'.join(lines))
        for last in ('-F', '-X'):
            _run([program, '--wait', WAIT, last, trial.name])
        if done.returncode != 0:
            raise _refused(done, INSTALL)


def list_chain(name: str, hook: str, programs: Sequence[str]) -> Listed:
    """Return a chain as the kernel has it.

    :raises IptablesError: NOT_ROOT, or iptables cannot be run.
    """
    found: List[Optional[Tuple[str, ...]]] = []
    hooked, refused = True, 0
    for program in programs:
        done = _run([program, '--wait', WAIT, '--verbose', '-S', name])
        if done.returncode != 0 and os.geteuid() != 0:
            raise IptablesError('Only root can list the rules of iptables.', 'the same command with sudo', 'NOT_ROOT')
        lines = done.stdout.split('\n') if done.returncode == 0 else []
        prefix = '-A {} '.format(name)
        rules = [line[len(prefix):] for line in lines if line.startswith(prefix)]
        refused += sum(int(match.group(1)) for rule in rules for match in [_COUNTER.search(rule)]
                       if match and '-j REJECT' in rule)
        found.append(tuple(_COUNTER.sub('', rule) for rule in rules) if done.returncode == 0 else None)
        hooked = hooked and _run([program, '--wait', WAIT, '-C', hook, '-j', name]).returncode == 0
    return Listed(found[0], found[1] if len(found) > 1 else None, hooked, refused)


def _run(argv: List[str], text: str = '') -> 'subprocess.CompletedProcess[str]':
    try:
        return subprocess.run(argv, input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              universal_newlines=True, errors='replace', timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise IptablesError('{} cannot be run: {}.'.format(argv[0], error), INSTALL)


def _refused(done: 'subprocess.CompletedProcess[str]', next_command: str) -> IptablesError:
    words = (done.stderr.strip() or done.stdout.strip() or str(done.returncode)).split('\n')[0].rstrip('.')
    return IptablesError('iptables refused: {}.'.format(printable(words)), next_command)
