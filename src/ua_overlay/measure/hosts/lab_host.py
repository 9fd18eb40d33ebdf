"""The hosts of a lab in a campaign."""
import os
import subprocess
from typing import Any, Callable, Dict, Optional, Tuple

from ua_overlay.errors import UsageError
from ua_overlay.lab import link, shape
from ua_overlay.lab.fleet import USER, Fleet
from ua_overlay.lab.lab import Lab
from ua_overlay.measure.campaign.campaign import Campaign, HostEntry
from ua_overlay.measure.hosts import campaign_hosts
from ua_overlay.measure.hosts.host import Graph, Host
from ua_overlay.protocols import Argv
from ua_overlay.toolchain import locate

#: Host -> the shape of its emulated link, in words: {'dev-1': {'delay': '5ms'}}.
Links = Dict[str, Dict[str, str]]


class LabHost(Host):
    """A host of a running lab.

    :param address, overlay: as in the campaign; '' for overlay asks the host's tailscaled.
    :param workspace: install space with setup.bash; None when no ROS tool is used.
    """

    def __init__(self, lab: Lab, name: str, address: str = '', overlay: str = '',
                 workspace: Optional[str] = None) -> None:
        super().__init__(name, address, overlay, [locate('tailscale')])
        self.host = lab.host(name)
        self.fleet = Fleet(lab, os.path.abspath(workspace)) if workspace else None

    def popen(self, argv: Argv, ros: Graph = False, **options: Any) -> 'subprocess.Popen[str]':
        if ros:
            if self.fleet is None:
                raise UsageError('The ROS tools need the workspace.',
                                 'ua-overlay measure run CAMPAIGN.yaml --workspace DIR')
            argv = self.fleet.ros_argv(self.ros_argv(argv, ros), 'shell')
            options.update(user=USER, env=self.fleet.user_environment())
        process: 'subprocess.Popen[str]' = self.host.popen(argv, **options)
        return process


def of_campaign(campaign: Campaign, lab_name: str, workspace: Optional[str] = None
                ) -> Tuple[Dict[str, Host], Callable[[], Links]]:
    """(name -> host, for every host of a campaign in a running lab; function -> the lab's emulated links now)."""
    lab = Lab.attach(lab_name)
    hosts: Dict[str, Host] = {}
    for name in campaign_hosts.names(campaign):
        entry = campaign.hosts.get(name, HostEntry())
        hosts[name] = LabHost(lab, name, entry.address, entry.overlay, workspace)
    return hosts, lambda: {host: shape.to_words(each) for host, each in sorted(link.shapes(lab).items())}
