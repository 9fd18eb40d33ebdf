"""The egress rule of a server, relay or DERP: whom it may connect to, `service keep`, and how it looks now."""
import signal
import threading

from ua_overlay.cli.shared import egress
from ua_overlay.errors import OverlayError
from ua_overlay.firewall import egress_table
from ua_overlay.relays import remote_server
from ua_overlay.server import service
from ua_overlay.site import last_good
from ua_overlay.tailscale.localapi import LocalApi
from ua_overlay.trust.servers import derp_servers, remembered, servers_of

#: Seconds between two looks at the site's file, which a command may have changed just now.
PERIOD = 10.0


def servers(served, directory, derp_map=None):
    """Names and addresses (text) whom what is ``served`` from ``directory`` may connect to besides its own machine.

    :param derp_map: of a relay: function() -> tailcfg.DERPMap; its own tailscaled is asked otherwise.
    :raises OverlayError: its directory holds nothing that makes sense.
    """
    if served is service.SERVER:
        settings = last_good.load(directory)[0].settings
        # Behind forwarded ports the public ones are another machine's.
        return list(settings.addresses) + [host.address for host in settings.derp]
    remote_host = remote_server.RemoteHost(directory, served.kind)
    found = servers_of(remote_host.load().ca_pem)
    if served is service.RELAY:
        found += derp_servers((derp_map or relay_map(remote_host))())
    return found


def relay_map(remote_host):
    """function() -> the last DERPMap of a relay's own tailscaled, None while it does not run or has none."""
    return remembered(LocalApi(remote_host.path('run', 'tailscaled.sock'), timeout=2.0).derp_map)


def run_keep(args, served, directory):
    """`service keep`: until SIGTERM or Ctrl-C. Returns 0."""
    stop = threading.Event()

    def end(_number, _frame):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    derp_map, options = None, {}
    if served is service.SERVER:
        options['period'] = PERIOD
    elif served is service.RELAY:
        options['news'] = derp_map = relay_map(remote_server.RemoteHost(directory, served.kind))
    try:
        egress.keep(served.egress, lambda: servers(served, directory, derp_map), stop,
                          lambda line: print(line, flush=True), args.user, **options)
    except KeyboardInterrupt:
        pass
    return 0


def rule_state(served, directory):
    """How the rule of a service looks now: (True, False, or None when it cannot be told; a text; the next command).
    None instead of all that where nothing was installed as a service."""
    if not service.applier(served=served).applied():
        return None
    which = served.egress
    if not egress.present_rules(which):
        return None, 'there is none (--no-egress)', 'sudo {}'.format(which.command)
    table_state = egress_table.inspect(which)
    if table_state.state == egress_table.UNREADABLE:
        return None, 'cannot be told: {}'.format(table_state.why.rstrip('.')), table_state.mend
    try:
        addresses, complete = egress.addresses_of(servers(served, directory))
    except OverlayError as error:
        return None, 'whether its addresses are right cannot be told: {}'.format(error.sentence.rstrip('.')), \
            error.next_command
    flaws = egress_table.flaws(table_state, sorted(addresses), complete)
    if flaws:
        return False, ' '.join(flaws).rstrip('.'), 'sudo systemctl restart {}'.format(which.keeper)
    return True, 'in force for {}'.format(', '.join(table_state.addresses) or 'no other machine'), ''
