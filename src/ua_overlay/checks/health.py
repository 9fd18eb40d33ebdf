"""Check what tailscaled says about itself: its router, its DNS set-up, its state file. Pure.

Source: tailscale.com v1.98.10, health/warnings.go, ipn/store.go (StateStoreHealth), net/dns/manager.go and direct.go.
The status has the texts only, so they are recognized by their words. A text that is unknown here is shown as it is.
"""
import re
from typing import Dict, List, NamedTuple, Optional

from ua_overlay import defaults
from ua_overlay.advice import command
from ua_overlay.checks.facts import Facts
from ua_overlay.checks.finding import ERROR, WARN, Verdict, Verdicts, ok
from ua_overlay.printable import printable

#: Where tailscaled keeps its identity, unless its command line says otherwise.
STATE_FILE = defaults.DAEMON_STATE_DIR + '/tailscaled.state'
#: Longest text of the daemon in a finding, in characters.
_LONGEST = 300
#: What is no fault of a robot in an overlay, or the finding of another check (login).
_SILENT = re.compile(
    'Tailscale is stopped|Tailscale is starting|You are logged out|An update from version|A security update|'
    'unstable version of Tailscale|--accept-routes is false|Tailnet Lock|state must be initialized')
#: What the check `server` explains when the server does not answer.
_OF_THE_SERVER = re.compile(
    'coordination server|relay server|DERP|encrypted connection|network is down|listen for incoming UDP')
STATE_LOST = re.compile('State store failed to initialize')


class _Known(NamedTuple):
    """A kind of texts: what they mean and what helps. ``{state}`` is the state file."""

    text: 're.Pattern[str]'
    level: str
    why: str
    next_command: str


_KNOWN = (
    _Known(STATE_LOST, ERROR,
           'Its state file is damaged, as a power cut leaves it: until it is moved away, nobody can join. Then doctor '
           'says how to join again.',
           'sudo mv {state} {state}.damaged; sudo systemctl restart tailscaled; ua-overlay doctor'),
    _Known(re.compile('netfilter|iptables|nftables|filter/ts-|nat/ts-|ts-input|ts-forward|ts-postrouting'), ERROR,
           'The kernel or its iptables refuses tailscaled\'s packet filter, so it sets up neither routes nor DNS. The '
           'egress rule and the guard do not need that filter.',
           'sudo tailscale set --netfilter-mode=off'),
    _Known(re.compile('resolv\\.conf|DNS configuration of your device'), WARN,
           'MagicDNS does not work while another program, or a protection of the file, keeps tailscaled from it. The '
           'agent keeps the names of the peers in /etc/hosts where they do not resolve.',
           'sudo systemctl restart tailscaled'),
    _Known(_OF_THE_SERVER, WARN, 'It connects again when it starts anew.', 'sudo systemctl restart tailscaled'),
    _Known(re.compile('reach the configured DNS servers'), WARN,
           'It passes on other names to the name servers of this network, and they do not answer.',
           'resolvectl status; cat /etc/resolv.conf'),
)


def health(facts: Facts) -> Verdicts:
    """tailscaled reports no problem of its own."""
    if facts.status is None or facts.daemon_problem is not None:
        return None
    server_away = facts.server is not None and facts.server.problem is not None
    state = facts.daemon_state or STATE_FILE
    said: Dict[Optional[_Known], List[str]] = {}
    for text in sorted(set(facts.status.health)):
        if not _SILENT.search(text) and not (server_away and _OF_THE_SERVER.search(text)):
            said.setdefault(next((kind for kind in _KNOWN if kind.text.search(text)), None), []).append(text.strip())
    verdicts: List[Verdict] = []
    for kind, texts in said.items():
        # tailscaled reports some failures twice, as a warning and as the error behind it.
        if kind is not None:
            verdicts.append(Verdict(kind.level, _quoted('; '.join(texts)), kind.why,
                                    command(kind.next_command.replace('{state}', '{0}'), state)))
            continue
        verdicts += [Verdict(WARN, _quoted(text), '', 'journalctl -u tailscaled -n 50') for text in texts]
    return verdicts or ok('tailscaled reports no problem.')


def _quoted(text: str) -> str:
    return 'tailscaled says: {}'.format(printable(text, _LONGEST))


def lost_state(facts: Facts) -> bool:
    """Return whether tailscaled cannot read its state file."""
    return facts.status is not None and any(STATE_LOST.search(text) for text in facts.status.health)
