"""The sandbox that the package's units have in common: none of them may do what none of them needs.

The unit of overlay.launch (rosenv.service) has its own, smaller one, as a robot's own nodes may run below it.
"""

#: systemd.exec(5). What differs from unit to unit is an argument of :func:`sandbox`.
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
#: For units that need no device, write nothing outside and read nothing of other processes.
CLOSED = ('PrivateDevices=yes', 'ProcSubset=pid', 'ProtectSystem=strict')
#: For units that talk to the network, to the kernel about the network, and to programs on this machine.
NETWORK = 'RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK AF_UNIX'


def sandbox(*more: str) -> str:
    """Return lines of a unit's [Service] section, without the last newline: :data:`COMMON` and ``more``.

    They are sorted, so that people can compare units.
    """
    return '\n'.join(sorted(COMMON + more))
