"""The sandbox that the package's units have in common: what none of them needs, so that none of them may do it.

Of overlay.launch (rosenv.service) little of it can be asked, for a robot's own nodes may run below it: not here.
"""

#: systemd.exec(5). What differs from unit to unit is given to :func:`sandbox`.
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
#: For what needs no device, writes nothing outside and looks at no other process.
CLOSED = ('PrivateDevices=yes', 'ProcSubset=pid', 'ProtectSystem=strict')
#: Sockets of a program that speaks to the network, to the kernel about the network, and to others on this machine.
NETWORK = 'RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK AF_UNIX'


def sandbox(*more):
    """Lines of a unit's [Service] section, without the last newline: :data:`COMMON` and ``more``, sorted, for people
    compare units."""
    return '\n'.join(sorted(COMMON + more))
