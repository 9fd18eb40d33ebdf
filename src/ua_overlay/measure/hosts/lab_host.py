"""Hosts of a lab as a campaign sees them."""
import os

from ua_overlay.errors import UsageError
from ua_overlay.lab.fleet import USER, Fleet
from ua_overlay.measure.hosts.host import Host
from ua_overlay.toolchain import locate


class LabHost(Host):
    """A host of a running lab.

    :param fields: {address, overlay} of the campaign; a robot's own address is known without.
    :param workspace: install space with setup.bash, None when ROS is not measured.
    """

    def __init__(self, lab, name, fields, workspace=None):
        self.host = lab.host(name)
        super().__init__(name, fields.get('address', ''), fields.get('overlay', ''), [locate('tailscale')])
        self.fleet = Fleet(lab, os.path.abspath(workspace)) if workspace else None

    def popen(self, argv, ros=False, **options):
        if not ros:
            return self.host.popen(argv, **options)
        if self.fleet is None:
            raise UsageError('The ROS tools need the workspace.', 'ua-overlay measure run … --workspace DIR')
        return self.host.popen(self.fleet.ros_argv(self.ros_argv(argv, ros), 'shell'), user=USER,
                               env=self.fleet.user_environment(), **options)
