"""Choose the kind of each host of a campaign outside a lab."""
from typing import Dict, List

from ua_overlay.errors import UsageError
from ua_overlay.measure.campaign.campaign import NO_SSH, Campaign, HostEntry
from ua_overlay.measure.hosts.closed_host import ClosedHost
from ua_overlay.measure.hosts.host import Host
from ua_overlay.measure.hosts.local_host import LocalHost
from ua_overlay.measure.hosts.ssh_host import SshHost


def names(campaign: Campaign) -> List[str]:
    """The names of all hosts that a campaign measures from or to, sorted."""
    return sorted({name for scenario in campaign.scenarios for name in (scenario.source, scenario.target)})


def of_campaign(campaign: Campaign) -> Dict[str, Host]:
    """Name -> host, for every host of a campaign.

    :raises UsageError: more than one would be this machine.
    """
    hosts = {name: _host(name, campaign.hosts.get(name, HostEntry())) for name in names(campaign)}
    local = [name for name, host in hosts.items() if isinstance(host, LocalHost)]
    if len(local) > 1:
        raise UsageError('{} have no `ssh` in the campaign, but only one host can be this machine.'.format(
            ' and '.join(local)), 'ua-overlay measure run --help')
    return hosts


def _host(name: str, entry: HostEntry) -> Host:
    if entry.ssh == NO_SSH:
        return ClosedHost(name, entry.address, entry.overlay)
    if entry.ssh:
        return SshHost(name, entry.ssh, entry.address, entry.overlay)
    return LocalHost(name, entry.address, entry.overlay)
