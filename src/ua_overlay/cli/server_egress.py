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
    outpost = remote_server.Outpost(directory, served.kind)
    found = servers_of(outpost.load().ca_pem)
    if served is service.RELAY:
        found += derp_servers((derp_map or relay_map(outpost))())
    return found


def relay_map(outpost):
    """function() -> the last DERPMap of a relay's own tailscaled, None while it does not run or has none."""
    return remembered(LocalApi(outpost.path('run', 'tailscaled.sock'), timeout=2.0).derp_map)


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
        options['news'] = derp_map = relay_map(remote_server.Outpost(directory, served.kind))
    try:
        egress.keep(served.egress, lambda: servers(served, directory, derp_map), stop,
                          lambda line: print(line, flush=True), args.user, **options)
    except KeyboardInterrupt:
        pass
    return 0


def look(served, directory):
    """How the rule of a service looks now: (True, False, or None when it cannot be told; a text; the next command).
    None instead of all that where nothing was installed as a service."""
    if not service.applier(served=served).applied():
        return None
    which = served.egress
    if not egress.present_rules(which):
        return None, 'there is none (--no-egress)', 'sudo {}'.format(which.command)
    sight = egress_table.look(which)
    if sight.state == egress_table.UNREADABLE:
        return None, 'cannot be told: {}'.format(sight.why.rstrip('.')), sight.mend
    try:
        wanted, complete = egress.addresses_of(servers(served, directory))
    except OverlayError as error:
        return None, 'whether its addresses are right cannot be told: {}'.format(error.sentence.rstrip('.')), \
            error.next_command
    flaws = egress_table.flaws(sight, sorted(wanted), complete)
    if flaws:
        return False, ' '.join(flaws).rstrip('.'), 'sudo systemctl restart {}'.format(which.keeper)
    return True, 'in force for {}'.format(', '.join(sight.addresses) or 'no other machine'), ''
