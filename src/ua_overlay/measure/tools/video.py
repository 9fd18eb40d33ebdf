"""A camera's stream from one host to another, with a hog beside it where one is wanted."""
import math

from ua_overlay.measure.campaign import campaign, sample
from ua_overlay.measure.hosts.host import NOWHERE, finish, read_until, stop
from ua_overlay.measure.tools import programs

#: What the camera's end says before it waits for LEAD seconds and begins.
READY = 'ready'
#: Seconds that the hog has to be under way.
LEAD = 3
HOG_PORT = 5202
#: Of the roscore without the overlay.
RAW_MASTER_PORT = 11399


def argvs(tool, path, name):
    """(argv of the viewer, first; argv of the camera) of a stream on the topic ``name``. Without the overlay (``path``)
    the viewer's program is the roscore as well: it ends with it, whatever becomes of the connection to that host."""
    settings = tool.settings
    common = [name] + [word for key in ('encoding', 'width', 'height', 'rate', 'seconds', 'omit')
                       for word in ('--' + key, '{:g}'.format(settings[key]) if key in ('rate', 'seconds')
                                    else str(settings[key]))]
    common += ['--lead', str(LEAD)] if settings['hog'] else []
    common += ['--congestion', settings['congestion']] if settings['congestion'] else []
    common += ['--nodelay'] if settings['nodelay'] else []
    program = ['rosrun', 'ua_overlay', 'measure_video.py']
    master = ['--master', str(RAW_MASTER_PORT)] if path == sample.RAW_PATH else []
    return program + ['show'] + common + master, program + ['film'] + common


def hog_argv(tool, address):
    """Argv of the client of iperf3 that runs from before the first frame until after the last."""
    settings = tool.settings
    seconds = math.ceil(LEAD + settings['omit'] / settings['rate'] + settings['seconds'] + 1)
    return ['iperf3', '-c', address, '-p', str(HOG_PORT), '-t', str(seconds), '-J'] + (
        ['-C', settings['congestion']] if settings['congestion'] else [])


def graphs(path, source, target):
    """(`ros` of :meth:`host.Host.start` at the source, the same at the target): the team's graph, or their own."""
    if path == sample.OVERLAY:
        return True, True
    master = 'http://{}:{}'.format(target.address, RAW_MASTER_PORT)
    return tuple({'ROS_MASTER_URI': master, 'ROS_IP': host.address} for host in (source, target))


def run(step, source, target, address, words):
    """(values, payload in bytes) of a stream.

    :param address: of the target, on the path that is measured. :param words: {source, target} for the sentences.
    :raises HostLost: a program did not start or end. :raises Unmeasured: with the sentence of the end that failed.
    """
    tool, patience = step.tool, programs.patience(step.tool)
    here, there = graphs(step.path, source, target)
    theirs, mine = argvs(tool, step.path, '/ua_overlay_measure_{}/camera'.format(step.repetition))
    started = []

    def start(host, argv, **options):
        started.append(host.start(argv, **options))
        return started[-1]

    try:
        if tool.settings['hog']:
            start(target, ['iperf3', '-s', '-1', '-p', str(HOG_PORT)], output=NOWHERE)
        viewer, camera = start(target, theirs, ros=there), start(source, mine, ros=here)
        said = read_until(camera, READY, patience)
        hog = None
        if tool.settings['hog'] and said.endswith(READY + '\n'):
            hog = start(source, hog_argv(tool, address))
        _, near, trouble = finish(camera, source.name, mine, patience)
        mine_said = programs.last_json('\n'.join((said + near, trouble)), words['source'])
        _, heard, trouble = finish(viewer, target.name, theirs, patience)
        theirs_said = programs.last_json('\n'.join((heard, trouble)), words['target'])
        values, payload = merge(mine_said, theirs_said)
        if hog:
            _, text, errors = finish(hog, source.name, ['iperf3'], patience)
            found, more = programs.parse_iperf(campaign.Tool('hog', sample.TCP, tool.settings), text or errors,
                                            dict(words, port=HOG_PORT))
            values['hog_bps'] = hog_rate(found['intervals_bps'])
            payload += more
        return values, payload
    finally:
        for process in reversed(started):
            stop(process)


def hog_rate(intervals):
    """Bit/s of the hog while frames were on their way: without the seconds before the first and the one after."""
    during = intervals[LEAD:-1] or intervals
    return sum(during) / len(during) if during else 0.0


def merge(mine, theirs):
    """(values, payload) from what both ends printed."""
    values = {key: mine[key] for key in ('sent', 'skipped', 'size_bytes', 'congestion')}
    values.update((key, theirs[key]) for key in ('hz', 'age_ms', 'received', 'gaps', 'longest_ms'))
    values.update(('{}_{}'.format(end, key), said.get(key)) for end, said in (('source', mine), ('target', theirs))
                  for key in ('process_percent', 'machine_percent'))
    return values, theirs['bytes']
