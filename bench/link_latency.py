"""Time from a change of a link in tailscaled's status to the message about it."""
import subprocess
import time

from figure import Figure, Row, quantile, verdict
from setup_lab import Program, bench_fleet

from ua_overlay.lab.wait import wait
from ua_overlay.toolchain import locate

NAME = 'links'
HZ = 20
#: Rounds of each kind; a round of both kinds gives about fifteen changes.
ROUNDS = 3
PEERS = ('dev-2', 'dev-3')
#: Seconds by which a message may precede the change in the observed status: the polling period, and some noise.
EARLY = 0.5
#: A message later than this belongs to another change.
LATE = 10.0
#: Seconds of idleness before traffic, so that every observer has seen the old state.
STABLE_AFTER = 3.0
#: The node checks active links five times a second: a shorter change may stay unnoticed.
SHORT = 0.25

EVENTS, LINKS, WORST, CLIENT = ('/ua_overlay/link_events', '/ua_overlay/links', '/ua_overlay/link_events, at worst',
                                'a script that runs `tailscale status --json` at 1 Hz')


def measure(progress, rounds=ROUNDS):
    """Returns the Figure."""
    with bench_fleet(progress) as fleet:
        with Program(fleet, 'dev-1', 'watch_status.py', 'local', str(HZ)) as status, \
                Program(fleet, 'dev-1', 'watch_topics.py') as topics, \
                Program(fleet, 'dev-1', 'watch_status.py', 'client', '1', locate('tailscale')) as client:
            current = Current(status)
            with progress('Waiting until all links are idle'):
                current.wait('IDLE', 90)
                time.sleep(STABLE_AFTER)
            began = time.monotonic()
            for turn in range(1, rounds + 1):
                idle_round(fleet, current, progress, '{} of {}'.format(turn, rounds))
            for turn in range(1, rounds + 1):
                nat_round(fleet, current, progress, '{} of {}'.format(turn, rounds))
            # Messages about the last change.
            time.sleep(2.0)
            for program in (status, topics, client):
                program.check()
            return figure(list(status.received), list(topics.received), list(client.received), began)


class Current:
    """The link types that the observer of the status reported last."""

    def __init__(self, status):
        self.status = status

    def types(self):
        latest = {change['peer']: change['path'][0] for change in self.status.received}
        return [latest.get(peer) for peer in PEERS]

    def wait(self, kind, timeout):
        wait('Links of type {}'.format(kind), lambda: set(self.types()) == {kind}, timeout)


def ping(fleet, peer, *options):
    return fleet.lab.host('dev-1').popen(['ping', '-q', '-i', '0.5'] + list(options) + [peer + '.overlay.internal'],
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def idle_round(fleet, current, progress, turn):
    """Make some traffic after an idle time, then stay idle again."""
    with progress('Traffic after idleness, round {}'.format(turn)):
        for process in [ping(fleet, peer, '-c', '16') for peer in PEERS]:
            process.wait()
        current.wait('DIRECT', 30)
        current.wait('IDLE', 90)
        time.sleep(STABLE_AFTER)


def nat_round(fleet, current, progress, turn):
    """Switch through all three kinds of NAT, under continuous traffic."""
    pings = [ping(fleet, peer) for peer in PEERS]
    try:
        for nat_kind, link, timeout in (('easy', 'DIRECT', 120), ('hard', 'PEER_RELAY', 90),
                                        ('udp-blocked', 'DERP', 60), ('easy', 'DIRECT', 120)):
            with progress('NATs {} until the links are {}, round {}'.format(nat_kind, link, turn)):
                for nat in ('nat1', 'nat2', 'nat3'):
                    fleet.lab.nat(nat, nat_kind)
                current.wait(link, timeout)
    finally:
        for process in pings:
            process.terminate()
            process.wait()


def match(changes, messages, parts=3):
    """Pair each message with its change: the last one of that peer to that path.

    :param changes: from the observer of the status: dicts with time, peer, path, before; in the order of time.
    :param messages: dicts with time, peer and path, of one topic; in the order of time.
    :param parts: how much of a path must agree: 1 for the type, 3 for endpoint and relay as well.
    :returns: (list of (change, message), list of changes without a message).
    """
    paired, newest = {}, {}
    for message in messages:
        about = [index for index, change in enumerate(changes)
                 if change['peer'] == message['peer'] and change['path'][:parts] == message['path'][:parts]
                 and -EARLY <= message['time'] - change['time'] <= LATE]
        # Messages of a topic come in the order of the changes, so none belongs to an older change than the one before.
        if about and about[-1] > newest.get(message['peer'], -1):
            paired[about[-1]] = message
            newest[message['peer']] = about[-1]
    return ([(change, paired[index]) for index, change in enumerate(changes) if index in paired],
            [change for index, change in enumerate(changes) if index not in paired])


def lasting(changes):
    """Seconds that each change lasted until the next of the same peer (infinite for the last), in their order."""
    return [next((later['time'] - change['time'] for later in changes[index + 1:] if later['peer'] == change['peer']),
                 float('inf')) for index, change in enumerate(changes)]


def without_short(changes):
    """The changes that lasted at least SHORT seconds.

    A path that came back after a shorter moment did not change at all.
    """
    kept = []
    latest = {}
    for change, seconds in zip(changes, lasting(changes)):
        if seconds < SHORT:
            latest.setdefault(change['peer'], change['before'])
            continue
        before = latest.pop(change['peer'], change['before'])
        if before != change['path']:
            kept.append(dict(change, before=before))
    return kept


def figure(status, topics, client, began):
    """The Figure of the reports of three observers since ``began`` (monotonic). Pure."""
    changes = [change for change in status if change['time'] > began and change['peer'] in PEERS]
    kept = without_short(changes)
    retyped = [change for change in kept if change['before'][0] != change['path'][0]]
    events = [message for message in topics if message['topic'] == 'link_events']
    links = [message for message in topics if message['topic'] == 'links']
    event_pairs, event_lost = match(retyped, events, 1)
    link_pairs, link_lost = match(kept, links)
    client_pairs, client_lost = match(retyped, client, 1)
    rows = [Row(CLIENT, delays(client_pairs)), Row(EVENTS, delays(event_pairs), CLIENT),
            Row(LINKS, delays(link_pairs), CLIENT),
            Row(WORST, [message['time'] - change['old_until'] for change, message in event_pairs], CLIENT)]
    missed = ['{} to {}'.format(change['peer'], change['path'][0]) for change in event_lost]
    return Figure(NAME, 'from the status showing a change to the arrival of the message', 's', rows, aims=[
        verdict('link_events, 95th percentile', quantile(delays(event_pairs), 0.95), 0.3, ' s'),
        verdict('links, 95th percentile', quantile(delays(link_pairs), 0.95), 0.3, ' s')], notes=[
        '{} changes of a type, {} of a type, an endpoint or a relay, seen by a separate process that asks tailscaled '
        '{} times a second. It sees a change up to {:.0f} ms late (half of that on average); a message that came '
        'before is negative. "At worst" counts from the question whose answer last had the old path, so it is never '
        'too small.'.format(len(retyped), len(kept), HZ, 1000 / HZ),
        'Arrival is the callback of a rospy subscriber in another process, so it includes sending and scheduling.',
        'Not counted: {} changes to a path that lasted less than {:g} s, or back from it. Of the others, {} have no '
        'message on link_events{} and {} none on links; the script missed {}.'.format(
            len(changes) - len(kept), SHORT, len(event_lost), ' ({})'.format(', '.join(missed)) if missed else '',
            len(link_lost), len(client_lost))],
        raw={'began': [began], 'status': status, 'topics': topics, 'script': client})


def delays(pairs):
    return [message['time'] - change['time'] for change, message in pairs]
