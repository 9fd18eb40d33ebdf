"""The programs that measure: what they are called with, and what their answers mean. Pure."""
import json
import re

from ua_overlay.measure.campaign import sample
from ua_overlay.measure.hosts.host import HostLost, last_line

_TRIP = re.compile(r'icmp_seq=(\d+) .*?time[=<]([\d.]+) ms(?! \(DUP)')
_PINGED = re.compile(r'(\d+) packets transmitted, (\d+) received')
_VERSION = re.compile(r'iperf (\d+\.\d+)')
#: What iperf3 says -> what that means.
_IPERF_PROBLEMS = (
    ('Connection refused', 'No iperf3 server listens on {target}, port {port}'),
    ('server is busy', 'The iperf3 server on {target} is busy with the test of somebody else'),
    ('No route to host', 'There is no route from {source} to {target}'),
    ('Network is unreachable', 'There is no route from {source} to {target}'),
    ('timed out', '{target} does not answer'),
    ('unable to read from stream socket', 'No UDP from {source} reaches {target}, port {port}'),
    ('control socket has closed', '{target} ended the connection in the middle of the measurement'),
    ('Connection reset', '{target} ended the connection in the middle of the measurement'),
    ('unable to set TCP_CONGESTION', 'The kernel of {source} does not offer this congestion control'),
    ('parameter exchange', 'The iperf3 of {target} is of a version that this one does not understand'))


#: Bytes of a call of a service and its answer at least: two packets of IPv4 and TCP.
LEAST_OF_CALL = 100


class Unmeasured(HostLost):
    """The tool gave no result; the sentence says why."""


def iperf_argv(tool, address, udp_length=0):
    """Argv of iperf3's client. ``udp_length``: bytes of a datagram, 0 for what iperf3 takes."""
    settings = tool.settings
    argv = ['iperf3', '-c', address, '-p', str(settings['port']), '-t', '{:.0f}'.format(settings['seconds']), '-O',
            str(settings['omit']), '-J']
    if tool.kind == sample.TCP:
        return argv + ['-C', settings['congestion']] + (
            ['-b', '{:.0f}'.format(settings['rate'])] if settings.get('rate') else [])
    return argv + ['-u', '-b', '{:.0f}'.format(settings['rate'])] + (['-l', str(udp_length)] if udp_length else [])


def iperf_refused(text):
    """Whether nobody listened yet."""
    return 'Connection refused' in _iperf_error(text)


def _iperf_error(text):
    """What iperf3 complains of, '' when it gave a result."""
    try:
        return str(json.loads(text).get('error', ''))
    except (ValueError, AttributeError):
        return text.strip()[-200:] or 'it said nothing'


def parse_iperf(tool, text, words):
    """(values, payload in bytes) from the client's JSON.

    :param words: {source, target, port} for the sentences.
    :raises Unmeasured: with what iperf3 says, in other words where these are known.
    """
    said = _iperf_error(text)
    if not said:
        try:
            return (_tcp if tool.kind == sample.TCP else _udp)(tool, json.loads(text))
        except (KeyError, TypeError, AttributeError):
            said = 'its answer has no result'
    for part, meaning in _IPERF_PROBLEMS:
        if part in said:
            raise Unmeasured(meaning.format(**words) + ' (iperf3: {}).'.format(said.rstrip('.')))
    raise Unmeasured('iperf3 from {} to {} failed: {}.'.format(words['source'], words['target'], said.rstrip('.')))


def _tcp(tool, answer):
    end = answer['end']
    return {'bps': end['sum_received']['bits_per_second'], 'intervals_bps': _intervals(answer),
            'retransmits': end['sum_sent'].get('retransmits', 0)}, end['sum_received']['bytes']


def _udp(tool, answer):
    # iperf3 before 3.10 has `sum` alone, whose jitter and loss are the receiver's and whose bytes are the sender's.
    end = answer['end']
    found = end.get('sum_received') or end['sum']
    total = end['sum']
    kept = 1.0 if found is not total else 1 - total['lost_percent'] / 100.0
    return {'bps': found['bits_per_second'] * kept, 'offered_bps': tool.settings['rate'],
            'jitter_ms': total['jitter_ms'], 'lost_percent': total['lost_percent'], 'packets': total['packets'],
            'intervals_bps': _intervals(answer)}, found['bytes']


def _intervals(answer):
    return [each['sum']['bits_per_second'] for each in answer['intervals'] if not each['sum'].get('omitted')]


def version_of(text):
    """'3.12' of iperf3's JSON or `--version`, '' when it is not there."""
    found = _VERSION.search(text or '')
    return found.group(1) if found else ''


def ping_argv(tool, address):
    settings = tool.settings
    # The C locale: others have a comma in the interval, and words of their own in the answer (iputils issue 329).
    return ['env', 'LC_ALL=C', 'ping', '-n', '-c', str(settings['omit'] + settings['count']), '-i',
            '{:g}'.format(settings['interval']), '-s', str(settings['size']), '-W', '5', address]


def parse_ping(tool, text, words):
    """(values, payload). :raises Unmeasured: nothing came back, or ping did not run; then with what it says."""
    totals, omit = _PINGED.search(text), tool.settings['omit']
    if not totals:
        raise Unmeasured('ping from {} to {} failed: {}.'.format(words['source'], words['target'], last_line(text)))
    sent, received = int(totals.group(1)), int(totals.group(2))
    # The first makes WireGuard's handshake where nothing went before. A copy that comes again (DUP!) is the same trip.
    trips = [(int(number), float(value)) for number, value in _TRIP.findall(text)]
    # By number and place: numbers begin anew after 65535.
    counted = [value for index, (number, value) in enumerate(trips) if index >= omit or number > omit]
    if not counted:
        raise Unmeasured('{target} answers no ping from {source}.'.format(**words))
    return {'rtt_ms': counted, 'sent': sent - omit, 'lost': sent - omit - len(counted)}, \
        (sent + received) * (tool.settings['size'] + 28)


def ros_argvs(tool, name):
    """(argv at the far end, first; argv at the source) of a topic or a service called ``name``."""
    program, settings = ['rosrun', 'ua_overlay', 'measure_ros.py'], tool.settings
    if tool.kind == sample.SERVICE:
        return program + ['serve', name, '--seconds', '{:.0f}'.format(patience(tool))], \
            program + ['call', name, '--calls', str(settings['calls']), '--omit', str(settings['omit'])]
    seconds, omit = ['--seconds', '{:g}'.format(settings['seconds'])], ['--omit', str(settings['omit'])]
    return program + ['listen', name] + seconds + omit, \
        program + ['publish', name, '--size', str(settings['size']), '--rate', '{:g}'.format(settings['rate'])] + \
        seconds + omit


def parse_ros(tool, near, far, words):
    """(values, payload) from what both ends printed; ``far`` is not used for a service.

    :raises Unmeasured: with the sentence of the end that failed.
    """
    mine = last_json(near, words['source'])
    if tool.kind == sample.SERVICE:
        if not mine.get('rtt_ms'):
            raise Unmeasured('No call from {source} to {target} was answered.'.format(**words))
        return {'rtt_ms': mine['rtt_ms'], 'failed': mine['failed']}, len(mine['rtt_ms']) * LEAST_OF_CALL
    theirs = last_json(far, words['target'])
    size = tool.settings['size']
    return {'hz': theirs['hz'], 'age_ms': theirs['age_ms'], 'sent': mine['sent'], 'received': theirs['received'],
            'size_bytes': size}, theirs['received'] * size


def last_json(text, host):
    """The last line that is a JSON object. :raises Unmeasured: there is none, or it has an `error`."""
    for line in reversed(text.splitlines()):
        if line.startswith('{'):
            answer = json.loads(line)
            if answer.get('error'):
                raise Unmeasured('ROS on {}: {}.'.format(host, answer['error']))
            return answer
    raise Unmeasured('The ROS program on {} said nothing: {}.'.format(host, last_line(text, 'no output')))


def settings_of(tool, mtu, clock_error_ms):
    """`settings` of a sample: every key that the report asks for, and what is the tool's own."""
    found = dict(tool.settings, mtu=mtu)
    if 'rate' in found:
        rate = found.pop('rate')
        if rate is not None:
            found['offered_bps' if tool.kind in (sample.TCP, sample.UDP) else 'rate_hz'] = rate
    if tool.ros:
        found['clock_error_ms'] = clock_error_ms
    return found


def patience(tool, slack=60.0):
    """Seconds after which a measurement that has not ended never will. ``slack``: what a busy machine may need more."""
    return 2 * tool.duration + slack

