"""Generate the unit that loads an nftables table before the network starts, and again when nftables restarts."""
from ua_overlay.system.sandbox import CLOSED, sandbox

_UNIT = '''\
# Written by `{command}`{undo}.
[Unit]
Description={description}
DefaultDependencies=no
# In force before there is a network.
Wants=network-pre.target
Before=network-pre.target{before}
# nftables.service flushes every table when it starts and is reloaded, ours too: ours comes back with it.
After=local-fs.target nftables.service
PartOf=nftables.service
ReloadPropagatedFrom=nftables.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={nft} -f {rules}
ExecReload={nft} -f {rules}
ExecStop={nft} "{delete}"
# Nobody, with the one capability that nft needs.
DynamicUser=yes
AmbientCapabilities=CAP_NET_ADMIN
CapabilityBoundingSet=CAP_NET_ADMIN
{sandbox}

[Install]
WantedBy=multi-user.target
'''


def rules_unit(description: str, command: str, nft: str, rules: str, delete: str, before: str = '',
               undo: str = '') -> str:
    """Return the text of the unit.

    :param description: one line for people.
    :param command: the command that installs the unit.
    :param nft: absolute path of nft.
    :param rules: path of the file to load; loading it twice has the same effect as once.
    :param delete: argument of nft that removes the table.
    :param before: a unit that must start after this one, '' for none.
    :param undo: the command that removes the unit, '' if ``command`` does.
    """
    return _UNIT.format(description=description, command=command, nft=nft, rules=rules, delete=delete,
                        before=' ' + before if before else '',
                        undo='; `{}` removes it'.format(undo) if undo else '',
                        sandbox=sandbox('IPAddressDeny=any', 'ProtectHome=yes', 'RestrictAddressFamilies=AF_NETLINK',
                                        'UMask=0077', *CLOSED))
