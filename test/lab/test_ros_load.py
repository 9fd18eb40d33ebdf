"""A team's real ROS load while its link changes: DIRECT, PEER_RELAY and DERP, with the changes as they happen.

One campaign runs rospy and roscpp nodes on two robots; then each test judges the records of one kind of traffic.
All that TCP carries must arrive complete. The losses of UDP, and of a queue of the sender, are counted and printed.
"""
import os
import time
import zlib

import pytest
import rosbag
from ros_load import Load, Phase, between, build_numbers, longest_silence, median, missing
from topologies import TWO_NATS

from ua_overlay.lab.fleet import Fleet
from ua_overlay.lab.timeouts import GRAPH, JOIN, PATH, START

KINDS = (('easy', 'DIRECT'), ('hard', 'PEER_RELAY'), ('udp-blocked', 'DERP'))
LINKS = [link for _, link in KINDS]
#: Seconds of each phase that are measured once its link is stable.
WINDOW = 5.0
BAG = '/home/robot/load.bag'
BAG_TOPICS = ('/dev_2/rospy', '/dev_2/roscpp', '/tf', '/tf_static', '/map')
LANGUAGES = ('rospy', 'roscpp')
#: Called by the client on dev-2: a service of each language, parameters of the master, an action.
CALLS = ('/plan', '/dev_1/roscpp_echo', 'parameter', '/count')


def switch(load, kind, link):
    """Change both routers; return the phase that begins when everything flows over the new link."""
    lab = load.fleet.lab
    switched = time.time()
    for router in ('nat1', 'nat2'):
        lab.nat(router, kind)
    watch = load.records['dev-1', 'links']

    def arrived():
        records = [record for record in watch.all('link') if record['t'] > switched]
        return records[-1]['t'] if records and records[-1]['link'] == link else None

    reported = load.wait('The link type ' + link, arrived, PATH)
    return settle(load, link, switched, reported)


def settle(load, link, switched, reported):
    """Wait until everything flows again, then measure while the link keeps its type."""
    def flows():
        for program, topic in listening():
            heard = load.records[program].heard(topic)
            yield program + (topic,), heard and heard[-1]['t'] > reported
        for program, name in callers():
            calls = load.records[program].calls(name)
            yield program + (name,), calls and calls[-1]['t'] > reported

    def measured():
        """The start of a window on one link type. A busy machine may lose a link for a moment: the window restarts."""
        since = None
        for record in load.records['dev-1', 'links'].all('link'):
            since = (since or record['t']) if record['link'] == link else None
        if since is None:
            return None
        start = max(flowing, since)
        return start if time.time() > start + WINDOW else None

    load.wait_all('All traffic over ' + link, flows, 120)
    flowing = time.time()
    start = load.wait('A stretch of {} s on {}'.format(WINDOW, link), measured, GRAPH)
    return Phase(link, switched, reported, start, start + WINDOW)


def listening():
    """((robot, program), topic) of every subscription."""
    for robot, other in (('dev-1', 'dev_2'), ('dev-2', 'dev_1')):
        for program in ('listener', 'cpp_listener'):
            for language in LANGUAGES:
                yield (robot, program), '/{}/{}'.format(other, language)
    yield ('dev-1', 'udp'), '/dev_2/roscpp'
    for topic in ('/camera', '/survey', '/tf'):
        yield ('dev-1', 'viewer'), topic
    yield ('dev-2', 'client'), '/count/feedback'


def callers():
    """((robot, program), name) of every caller and what it calls."""
    for name in CALLS:
        yield ('dev-2', 'client'), name
    yield ('dev-1', 'cpp_listener'), '/dev_2/rospy_echo'
    yield ('dev-2', 'cpp_listener'), '/dev_1/rospy_echo'
    yield ('dev-1', 'udp'), '/dev_2/roscpp_echo'
    yield ('dev-1', 'viewer'), '/map'


def run(load):
    """The campaign."""
    load.install('dev-1', 'dev-2')
    load.start('dev-1', 'links', 'links.py', 'dev-2', graph='local', namespace=False)
    load.start('dev-1', 'server', 'server.py')
    # Each with the number of listeners that it waits for, so that every number from 1 must come everywhere.
    for robot, listeners in (('dev-1', 2), ('dev-2', 3)):
        load.start(robot, 'talker', 'say.py', str(listeners))
    load.start('dev-1', 'cpp_talker', 'numbers', 'talk', '2')
    load.start('dev-2', 'cpp_talker', 'numbers', 'talk', '4')
    load.start('dev-2', 'sensors', 'sensors.py')
    load.start('dev-1', 'viewer', 'viewer.py')
    for robot, other in (('dev-1', 'dev_2'), ('dev-2', 'dev_1')):
        topics = ['/{}/{}'.format(other, language) for language in LANGUAGES]
        load.start(robot, 'listener', 'hear.py', *topics)
        load.start(robot, 'cpp_listener', 'numbers', 'listen', '/{}/rospy_echo'.format(other), *topics)
    load.start('dev-1', 'udp', 'numbers', 'udp', '/dev_2/roscpp_echo', '/dev_2/roscpp')
    load.start('dev-2', 'client', 'client.py', '/dev_1/roscpp_echo')
    load.start('dev-1', 'bag', 'rosbag', 'record', '-O', BAG, *BAG_TOPICS, namespace=False)

    began = time.time()
    load.phases.append(settle(load, 'DIRECT', began, began))  # waits for the first of every kind
    for kind, link in KINDS[1:]:
        load.phases.append(switch(load, kind, link))

    for robot in ('dev-1', 'dev-2'):
        for name in ('talker', 'cpp_talker'):
            load.finish(robot, name)
    for name in ('client', 'sensors'):
        load.finish('dev-2', name)
    load.wait_all('The last message of every topic over TCP', lambda: drained(load), 120)
    # The queues are empty now. Their counts are recorded once a second.
    empty = time.time()
    load.wait('The last counts of the sensors', lambda: end_of(load, '/tf')['t'] > empty, START)
    last = end_of(load, '/tf')['n']
    load.wait('The last transform', lambda: int(load.records['dev-1', 'viewer'].all('x')[-1]['x']) == last, START)
    load.finish('dev-1', 'viewer')
    stop_recording(load)
    play(load)


def end_of(load, topic):
    """The publisher's last record of the end of a topic: `n`, the last number, and `sent` where it counts; or None."""
    for records in load.records.values():
        ends = records.all('end', topic)
        if ends:
            return ends[-1]
    return None


def drained(load):
    """(name, whether the last number has come) of each topic over TCP: a full queue drops the oldest message, never the
    newest."""
    for program, topic in listening():
        if program[1] != 'udp' and topic != '/count/feedback':
            end = end_of(load, topic)
            yield program + (topic,), end and load.records[program].heard(topic)[-1]['n'] == end['n']
    for name in CALLS:
        yield name, end_of(load, name)


def stop_recording(load):
    """Once the recorder has all that was sent to it: keep its own counts, and read the bag."""
    def complete():
        load.recorded = {record['recorded']: record for record in load.ask('dev-1', 'bus.py')}
        # The queue of tf may have dropped some before they were sent; those of the talkers are long enough.
        sent = {topic: end_of(load, topic)['n'] for topic in ('/dev_2/rospy', '/dev_2/roscpp')}
        sent['/tf'] = next(number for caller, number in end_of(load, '/tf')['sent'].items()
                           if caller.startswith('/record_'))
        for topic, number in sent.items():
            yield '{}, {} of {} came'.format(topic, load.recorded[topic]['n'], number), \
                load.recorded[topic]['n'] == number

    load.wait_all('The last message of every topic in the bag', complete, JOIN)
    load.stop('dev-1', 'bag')
    load.bag = {topic: [] for topic in BAG_TOPICS}
    path = load.fleet.lab.host('dev-1').path(BAG)
    # On Ctrl-C, `rosbag` leaves its recorder 0.25 s (subprocess._sigint_wait_secs), which renames the file at its end.
    load.wait('The end of the recorder', lambda: os.path.exists(path), START)
    with rosbag.Bag(path) as bag:
        for topic, message, _ in bag.read_messages():
            if topic == '/map':
                load.bag[topic].append(zlib.crc32(bytes(message.data)))
            elif topic in ('/tf', '/tf_static'):
                load.bag[topic] += [transform.transform.translation.x for transform in message.transforms]
            else:
                load.bag[topic].append(message.seq)


def play(load):
    """Play the bag on dev-1 for a listener of each language on dev-2, and let UDP pass again while it plays."""
    load.play_topics = {'/played/' + language: '/dev_2/' + language for language in LANGUAGES}
    listeners = [load.start('dev-2', 'played', 'hear.py', *load.play_topics),
                 load.start('dev-2', 'cpp_played', 'numbers', 'listen', '/dev_1/rospy_echo', *load.play_topics)]
    # --keep-alive: without it the player ends with the last message still in its queue.
    load.start('dev-1', 'play', 'rosbag', 'play', '--quiet', '--rate=4', '--queue=100000', '--keep-alive',
               '--wait-for-subscribers', BAG, '--topics', *load.play_topics.values(),
               *['{}:={}'.format(old, new) for new, old in load.play_topics.items()], namespace=False)
    load.wait('The first played message',
              lambda: all(listener.heard(topic) for listener in listeners for topic in load.play_topics), JOIN)
    for router in ('nat1', 'nat2'):
        load.fleet.lab.nat(router, 'easy')
    load.wait('The last played message',
              lambda: all(listener.heard(new)[-1]['n'] == load.bag[old][-1] for listener in listeners
                          for new, old in load.play_topics.items()), 120)
    load.stop('dev-1', 'play')


@pytest.fixture(scope='module')
def load(new_lab, install, request):
    numbers = build_numbers(install)
    lab = new_lab(TWO_NATS, 'load')
    fleet = Fleet(lab, install)
    fleet.start_site()
    fleet.site('team', 'create', 'iris')
    fleet.enlist('dev-1', 'iris', '--master')
    fleet.enlist('dev-2', 'iris')
    load = Load(fleet, numbers)
    run(load)
    # The figures of a passed run are worth reading too.
    with request.config.pluginmanager.get_plugin('capturemanager').global_and_fixture_disabled():
        print('\n'.join(figures(load)), flush=True)
    yield load


def figures(load):
    """The lines of the figures, for the output of the test run whatever its result. MB are 10^6 bytes."""
    yield ''
    for phase in load.phases:
        camera = load.records['dev-1', 'viewer'].heard('/camera')
        images = between(camera, phase)
        yield 'ROS load: {}: {:.1f} s after the routers changed; everything flows after {:.1f} s; then camera {:.1f} ' \
            'images a second, {:.1f} MB/s, {:.0f} ms old'.format(
                phase.link, phase.reported - phase.switched, phase.start - phase.switched, len(images) / WINDOW,
                sum(record['size'] for record in images) / WINDOW / 1e6,
                1000 * median(record['t'] - record['sent'] for record in images))
    for program, topic in listening():
        heard = load.records[program].heard(topic)
        end = end_of(load, topic) or heard[-1]
        yield 'ROS load: {} {} {}: {} came, {} lost, longest silence {:.1f} s'.format(
            *program, topic, len(heard), len(missing(heard, end['n'])), longest_silence(heard))
    for program, name in callers():
        calls = load.records[program].calls(name)
        yield 'ROS load: {} {} {}: {} calls, {} failed, longest {:.1f} s'.format(
            *program, name, len(calls), len([call for call in calls if not call['ok']]),
            max(call['took'] for call in calls))
    for topic, counts in sorted(load.recorded.items()):
        yield 'ROS load: rosbag record {}: {} came, {} dropped by its queue, {} in the bag'.format(
            topic, counts['n'], counts['dropped'], len(load.bag[topic]))


def numbers(records):
    return [record['n'] for record in records]


def came_on_every_link(load, records):
    for phase in load.phases:
        assert [record for record in records if phase.reported <= record['t'] < phase.end], phase.link


def test_the_link_had_all_three_types(load):
    assert [phase.link for phase in load.phases] == LINKS
    for phase in load.phases:
        assert not [record for record in between(load.records['dev-1', 'links'].all('link'), phase)
                    if record['link'] != phase.link]
    types = [record['link'] for record in load.records['dev-1', 'links'].all('link')]
    assert set(LINKS) <= set(types)


@pytest.mark.fault('new', "NATs change under a team's ROS load",
                   behaviour='Every message over TCP arrives, in both languages', reported='-', recovery='120 s',
                   lost='nothing')
@pytest.mark.parametrize('talker', LANGUAGES)
@pytest.mark.parametrize('listener', ['listener', 'cpp_listener'])
@pytest.mark.parametrize('robot, other', [('dev-1', 'dev_2'), ('dev-2', 'dev_1')])
def test_numbers_arrive_complete(load, robot, other, listener, talker):
    topic = '/{}/{}'.format(other, talker)
    heard = load.records[robot, listener].heard(topic)
    assert numbers(heard) == list(range(1, end_of(load, topic)['n'] + 1))
    came_on_every_link(load, heard)


@pytest.mark.fault('new', 'NATs change under topics over UDPROS', behaviour='Topics go on with the next path',
                   reported='-', recovery='120 s', lost='messages without a path, which the test counts')
def test_udp_loses_messages_without_a_path_and_each_loss_is_counted(load):
    heard = load.records['dev-1', 'udp'].heard('/dev_2/roscpp')
    last = end_of(load, '/dev_2/roscpp')['n']
    assert len(set(numbers(heard))) + len(missing(heard, last)) == last
    assert missing(heard, last), 'the routers changed and UDP lost nothing: were they?'
    came_on_every_link(load, heard)


def test_large_images_arrive_complete_with_a_long_enough_queue(load):
    heard = load.records['dev-1', 'viewer'].heard('/survey')
    assert numbers(heard) == list(range(1, end_of(load, '/survey')['n'] + 1))
    assert all(record['ok'] and record['size'] > 1e6 for record in heard)
    came_on_every_link(load, heard)


@pytest.mark.parametrize('topic', ['/camera', '/tf'])
def test_everything_in_a_short_queue_arrives(load, topic):
    """The publisher's queue dropped every missing message: all that it handed over to TCP came, whole and in order."""
    end = end_of(load, topic)
    heard = load.records['dev-1', 'viewer'].heard(topic)
    assert len(heard) == end['sent']['/dev_1/viewer']
    assert numbers(heard) == sorted(set(numbers(heard))) and numbers(heard)[-1] == end['n']
    assert all(record.get('ok', True) for record in heard)
    came_on_every_link(load, heard)


def test_the_short_queue_of_the_camera_overflowed(load):
    """Otherwise the test before this one has shown nothing."""
    end = end_of(load, '/camera')
    assert end['n'] - end['sent']['/dev_1/viewer'] > 0


def test_a_late_subscriber_gets_the_latched_map(load):
    fetched = load.records['dev-1', 'viewer'].calls('/map')
    published = load.records['dev-2', 'sensors'].all('map')[0]['map']
    assert {call['map'] for call in fetched} == {published}
    came_on_every_link(load, fetched)


def test_transforms_join_static_and_moving(load):
    lookups = list(load.records['dev-1', 'viewer'].all('lookup'))
    while not lookups[0]['ok']:
        lookups.pop(0)  # not yet there
    assert [lookup['lookup'] for lookup in lookups if not lookup['ok']] == []
    positions = [lookup['x'] for lookup in lookups]
    assert positions == sorted(positions) and all(position % 1 == 0.5 for position in positions)
    came_on_every_link(load, lookups)


@pytest.mark.fault('new', 'NATs change during calls of services, parameters and actions',
                   behaviour='Every call is answered', reported='-', recovery='120 s', lost='nothing')
@pytest.mark.parametrize('program, name', list(callers()), ids=str)
def test_every_call_is_answered(load, program, name):
    """Services of both languages, parameters of the master, goals of an action, the map."""
    calls = load.records[program].calls(name)
    assert [call for call in calls if not call['ok']] == []
    came_on_every_link(load, calls)


def test_feedback_of_the_action_arrives_complete(load):
    heard = numbers(load.records['dev-2', 'client'].heard('/count/feedback'))
    goals = [call for call in load.records['dev-2', 'client'].calls('/count') if call['ok']]
    assert heard == list(range(1, len(heard) + 1)) and len(heard) >= 15 * len(goals)


def test_the_recorder_gets_everything_and_counts_what_it_drops(load):
    """`rosbag record` subscribes with queues of 100, which the burst after an outage can overflow. It counts that."""
    for topic in ('/dev_2/rospy', '/dev_2/roscpp', '/tf'):
        counts = load.recorded[topic]
        assert len(load.bag[topic]) == counts['n'] - counts['dropped'], topic
        assert load.bag[topic] == sorted(set(load.bag[topic])), topic
        assert load.bag[topic][-1] == end_of(load, topic)['n'], topic
    for topic in ('/dev_2/rospy', '/dev_2/roscpp'):
        assert load.recorded[topic]['n'] == end_of(load, topic)['n'], topic
    assert load.bag['/map'] == [load.records['dev-2', 'sensors'].all('map')[0]['map']]
    assert load.bag['/tf_static'] == [0.5]


@pytest.mark.parametrize('listener', ['played', 'cpp_played'])
@pytest.mark.parametrize('topic', ['/played/' + language for language in LANGUAGES])
def test_a_bag_plays_to_another_robot(load, listener, topic):
    heard = numbers(load.records['dev-2', listener].heard(topic))
    # The player waits for one subscriber, so another may miss the first messages, and then none.
    assert len(heard) > 100
    assert heard == load.bag[load.play_topics[topic]][-len(heard):]
