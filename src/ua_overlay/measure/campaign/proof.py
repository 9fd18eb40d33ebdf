"""Which way a sample's bytes went, from tailscaled's counters before and after. Pure."""

from ua_overlay import link_types

PROVEN, OTHER, UNKNOWN = 'proven', 'other way', 'not measured'
#: Share of the overlay's bytes that has to be of one link type. The rest: heartbeats to other peers, and the DERP
#: connection, which carries the first packets of a path that is being looked for.
SHARE = 0.95
#: A sample of so few bytes on the raw path proves nothing against the overlay: other programs' traffic is as much.
LEAST = 100000


def moved(before, after):
    """{link type: bytes} between two readings {link type: bytes since tailscaled's start}.

    :returns: None when one of them is None (nobody answered) or a counter fell (tailscaled was started again).
    """
    if before is None or after is None:
        return None
    kinds = sorted(set(link_types.CARRYING) | set(before) | set(after))
    counted = {kind: after.get(kind, 0) - before.get(kind, 0) for kind in kinds}
    return None if min(counted.values()) < 0 else counted


def judge(counted, path, expected, payload):
    """What the counters say about a sample's label.

    :param counted: of :func:`moved`, at the source.
    :param path: 'raw' or 'overlay'.
    :param expected: the link type that the label says, '' for any single one.
    :param payload: bytes that the tool says it sent or received, 0 when it did not say.
    :returns: (verdict, sentence); the sentence is '' for PROVEN.
    """
    if counted is None:
        return UNKNOWN, 'The counters of tailscaled could not be read at both ends of the sample.'
    total = sum(counted.values())
    if path == 'raw':
        if payload > LEAST and total >= payload / 2:
            return OTHER, 'It should have gone past the overlay, which carried {} bytes meanwhile.'.format(total)
        return PROVEN, ''
    if total < max(1, payload / 2):
        return OTHER, 'The overlay carried {} bytes, less than half of the {} of the sample.'.format(total, payload)
    kind = expected or max(counted, key=lambda name: counted[name])
    if counted.get(kind, 0) < SHARE * total:
        return OTHER, 'It should have gone by {}: {}.'.format(kind if expected else 'one way', ', '.join(
            '{:.1f} % went by {}'.format(100 * number / total, name) for name, number in counted.items() if number))
    return PROVEN, ''


def counts(counted):
    """`proof.bytes` of a sample: every link type, 0 where nothing was counted."""
    return dict({kind: 0 for kind in link_types.CARRYING}, **(counted or {}))
