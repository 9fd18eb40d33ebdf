"""The common sandbox of the package's units, which removes every privilege that none of them needs.

The unit of overlay.launch (rosenv.service) has a separate, weaker one: it needs the user's home directory, for the
workspace and the logs of ROS. The unit of the team's nodes has none.
"""

#: systemd.exec(5). Settings that differ between units are arguments of :func:`sandbox`.
COMMON = (
    'LockPersonality=yes',
    'MemoryDenyWriteExecute=yes',
    'NoNewPrivileges=yes',
    'PrivateTmp=yes',
    'ProtectClock=yes',
    'ProtectControlGroups=yes',
    'ProtectHostname=yes',
    'ProtectKernelLogs=yes',
    'ProtectKernelModules=yes',
    'ProtectKernelTunables=yes',
    'ProtectProc=invisible',
    'RestrictNamespaces=yes',
    'RestrictRealtime=yes',
    'RestrictSUIDSGID=yes',
    'SystemCallArchitectures=native',
    'SystemCallErrorNumber=EPERM',
    'SystemCallFilter=@system-service',
    'SystemCallFilter=~@privileged @resources',
)
#: For units that use no device, write no other files and do not inspect other processes.
CLOSED = ('PrivateDevices=yes', 'ProcSubset=pid', 'ProtectSystem=strict')
#: For units that talk to the network, to the kernel about the network, and to programs on this machine.
NETWORK = 'RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK AF_UNIX'


def sandbox(*more: str) -> str:
    """Return lines of a unit's [Service] section, without the last newline: :data:`COMMON` and ``more``.

    They are sorted, so that people can compare units.
    """
    return '\n'.join(sorted(COMMON + more))
