"""Choose the packet filter of this machine: nftables, or iptables where the kernel or the distribution lacks it.

A robot's kernel may be older than its distribution, and may miss nf_tables, or one expression of it. So the choice is
made by trying the very rules that are to be loaded, before anything is written.

systemd's IPAddressDeny= is no substitute: it knows addresses only, so it would cut the UDP links between robots.
"""
from typing import Callable, List, NamedTuple, Optional, Sequence, Tuple

from ua_overlay.errors import OverlayError
from ua_overlay.system import iptables, nft

NFT, IPTABLES = 'nft', 'iptables'


class Backend(NamedTuple):
    """A packet filter, and the absolute paths of its programs: of nft, or of iptables and (with IPv6) ip6tables."""

    kind: str
    programs: Tuple[str, ...]


class Unusable(OverlayError):
    """No packet filter of this machine takes the rules."""

    code = 'NO_PACKET_FILTER'


#: Loads rules for a trial: (backend) -> None; raises OverlayError when the kernel or a program refuses them.
Try = Callable[[Backend], None]


def candidates(kinds: Sequence[str] = (NFT, IPTABLES)) -> List[Backend]:
    """Return the packet filters of these kinds whose programs are installed, the preferred one first."""
    found = []
    path = nft.search()
    if path is not None:
        found.append(Backend(NFT, (path,)))
    found += [Backend(IPTABLES, programs) for programs in iptables.find_iptables()]
    return [each for each in found if each.kind in kinds]


def choose(found: Sequence[Backend], attempt: Try, purpose: str, otherwise: str = '') -> Backend:
    """Return the first packet filter that takes the rules. Pure, except for ``attempt``.

    :param purpose: what the rules are, as the subject of the error's sentence.
    :param otherwise: the error's next command if a person can do without the rules.
    :raises Unusable: none does; the sentence has the answer of the first.
    """
    first: Optional[OverlayError] = None
    for each in found:
        try:
            attempt(each)
            return each
        except OverlayError as error:
            first = first or error
    if first is None:
        raise Unusable('{} needs nftables or iptables; this machine has neither.'.format(purpose),
                       nft.INSTALL + (', or ' + otherwise if otherwise else ''), 'NO_NFT')
    raise Unusable('{} cannot be loaded on this machine ({}).'.format(purpose, first.sentence.rstrip('.')),
                   otherwise or iptables.INSTALL)


def installed(kind: str) -> Backend:
    """Return the packet filter of rules that were installed earlier.

    :param kind: NFT or IPTABLES.
    :raises OverlayError: its programs are gone.
    """
    for each in candidates():
        if each.kind == kind:
            return each
    raise Unusable('The programs of {} are missing.'.format(kind), nft.INSTALL if kind == NFT else iptables.INSTALL)
