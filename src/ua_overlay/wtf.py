"""The roswtf plugin (package.xml exports it): adds the checks of this package to roswtf.

Every roswtf on a machine with this package runs it. So it is quick (BUDGET), silent on a machine without an overlay,
and raises nothing. Source of the rules: roswtf/plugins.py and roswtf/rules.py of ros_comm; messages are %-formatted
with the context's fields.
"""
import os
from typing import AbstractSet, Any, Callable, Iterable, List, Optional, Sequence

from ua_overlay import defaults
from ua_overlay.checks.finding import ERROR, WARN, Finding
from ua_overlay.checks.observe.observer import GRAPH, SERVER, Observer
from ua_overlay.checks.table import run_checks
from ua_overlay.membership.settings import read_settings
from ua_overlay.protocols import Environ
from ua_overlay.system.deadline import Calls
from ua_overlay.tailscale import map_stamp
from ua_overlay.tailscale.localapi import LocalApi

#: Seconds for each of the two calls, even if the network hangs.
BUDGET = 2.5
#: Checks that need a master, for the second call (roswtf makes it only when one answers).
ONLINE = frozenset(['master', 'foreign-master', 'node-names', 'offline-nodes'])
#: Seconds for each step. The plugin opens no connections to peers: an idle link may take longer than this to come up.
PATIENCE = 1.2


def roswtf_plugin_static(ctx: Any) -> None:
    """Report the checks that need no ROS master."""
    _report(ctx, lambda findings: [finding for finding in findings if finding.id not in ONLINE], frozenset([SERVER]))


def roswtf_plugin_online(ctx: Any) -> None:
    """Report the checks of the team's graph."""
    _report(ctx, lambda findings: [finding for finding in findings if finding.id in ONLINE], frozenset([GRAPH]))


def observe(parts: AbstractSet[str], environ: Optional[Environ] = None, socket_path: str = defaults.DAEMON_SOCKET,
            state_dir: str = defaults.STATE_DIR, ca_file: str = defaults.CA_FILE) -> Sequence[Finding]:
    """Return the findings of this machine; () on a machine without an overlay."""
    settings = read_settings(state_dir)
    facts = Observer(LocalApi(socket_path, timeout=1.0), settings, ca_file,
                     os.environ if environ is None else environ, patience=PATIENCE,
                     stamp=map_stamp.read(state_dir)).observe(parts)
    if not settings and not facts.actual and (facts.status is None or not facts.status.have_node_key):
        return ()  # no invitation was ever used here, so tailscaled belongs to another network
    return run_checks(facts)


def _report(ctx: Any, choose: Callable[[Iterable[Finding]], List[Finding]], parts: AbstractSet[str],
            observe: Callable[[AbstractSet[str]], Sequence[Finding]] = observe) -> None:
    """Add the warnings and errors to the context through roswtf's rules."""
    from roswtf.rules import error_rule, warning_rule
    findings, problem = Calls().run({'checks': lambda: observe(parts)}, BUDGET)['checks']
    if isinstance(problem, TimeoutError):
        warning_rule((None, _escaped('The checks of ua_overlay did not finish within {:g} s. Next: ua-overlay doctor'
                                     .format(BUDGET))), True, ctx)
    elif problem is not None:
        # A bug of ours must neither abort a user's roswtf nor be hidden.
        warning_rule((None, _escaped('The checks of ua_overlay failed ({}: {}). Next: ua-overlay doctor'.format(
            type(problem).__name__, problem))), True, ctx)
    for finding in choose(findings or ()):
        rule = {ERROR: error_rule, WARN: warning_rule}.get(finding.level)
        if rule is not None:
            rule((None, _escaped('overlay {}: {}'.format(finding.id, finding.sentence()))), True, ctx)


def _escaped(text: str) -> str:
    return text.replace('%', '%%')
