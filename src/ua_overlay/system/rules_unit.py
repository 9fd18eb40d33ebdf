"""Generate the unit that loads rules of a packet filter before the network starts, and again when other rules are."""
from typing import Sequence

from ua_overlay.system.sandbox import CLOSED, sandbox
from ua_overlay.system.units import quote

_UNIT = '''\
# Written by `{command}`{undo}.
[Unit]
Description={description}
DefaultDependencies=no
# In force before there is a network.
Wants=network-pre.target
Before=network-pre.target{before}
# {flusher} flushes every table when it starts and is reloaded, ours too: ours comes back with it.
After=local-fs.target {flusher}
PartOf={flusher}
ReloadPropagatedFrom={flusher}

[Service]
Type=oneshot
RemainAfterExit=yes
{load_modules}ExecStart={load}
ExecReload={load}
ExecStop={delete}
{privilege}
{sandbox}

[Install]
WantedBy=multi-user.target
'''


#: nft needs one capability.
_NOBODY = """\
# Nobody, with the one capability that nft needs.
DynamicUser=yes
AmbientCapabilities=CAP_NET_ADMIN
CapabilityBoundingSet=CAP_NET_ADMIN"""
#: iptables of the old kind opens a raw socket, and its lock file belongs to root (/run/xtables.lock).
_ROOT = """\
# Root, for the lock file in /run, with the two capabilities that iptables needs.
CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW
ReadWritePaths=/run"""
#: What iptables would load itself if it were allowed to; the kernel loads the rest on demand.
_MODULES = """\
ExecStartPre=-+/bin/sh -c 'modprobe -a -q iptable_filter ip6table_filter 2>/dev/null || :'
"""


def rules_unit(description: str, command: str, load: Sequence[str], delete: Sequence[str], before: str = '',
               undo: str = '', legacy: bool = False) -> str:
    """Return the text of the unit.

    :param description: one line for people.
    :param command: the command that installs the unit.
    :param load: argv that loads the rules; running it twice has the same effect as once.
    :param delete: argv that removes the rules.
    :param before: units that must start after this one, with a space between them; '' for none.
    :param undo: the command that removes the unit, '' if ``command`` does.
    :param legacy: whether the two argvs run iptables, not nft.
    """
    families = 'RestrictAddressFamilies=AF_NETLINK' + (' AF_INET AF_INET6 AF_UNIX' if legacy else '')
    return _UNIT.format(description=description, command=command, before=' ' + before if before else '',
                        load=' '.join(quote(word) for word in load), delete=' '.join(quote(word) for word in delete),
                        flusher='netfilter-persistent.service' if legacy else 'nftables.service',
                        load_modules=_MODULES if legacy else '', privilege=_ROOT if legacy else _NOBODY,
                        undo='; `{}` removes it'.format(undo) if undo else '',
                        sandbox=sandbox('IPAddressDeny=any', 'ProtectHome=yes', families, 'UMask=0077', *CLOSED))
