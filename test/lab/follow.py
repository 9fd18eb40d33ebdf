"""The topics of a robot's overlay node, at the cost of one program for each robot instead of one for each question."""
import json
import os

from ua_overlay.lab.fleet import SOURCE, USER
from ua_overlay.lab.timeouts import START
from ua_overlay.lab.wait import wait

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'on_robot', 'topics.py')
SERVICE = 'topics'


class Follower:
    """The topics of one robot's overlay node, as they come.

    :param fleet: fleet.Fleet; its workspace has the messages.
    :param robot: name of a robot. It may have no graph yet.
    """

    def __init__(self, fleet, robot):
        self.lab, self.robot = fleet.lab, robot
        log = self.lab.log_path(robot, SERVICE)
        # An earlier follower of this robot wrote to the same file; its messages are out of date.
        self._all, self._position, self._rest = {}, os.path.getsize(log) if os.path.exists(log) else 0, b''
        # Not by `ua-overlay exec --local`: it has to live before and after overlay.launch.
        fleet.lab.start_service(robot, SERVICE, ['bash', '-c', SOURCE + '; unset ROS_HOSTNAME ROS_IP; exec '
                                                 'env ROS_MASTER_URI=http://localhost:11311 ROS_HOSTNAME=localhost '
                                                 '"$@"', fleet.workspace, 'python3', '-u', PROGRAM],
                                env=fleet.user_environment(), user=USER)

    def latest(self, topic):
        """The present message of ~/topic as a dict, None while nobody publishes it."""
        return self._read().get(topic, (None, 0.0))[0]

    def now(self, topic, since=0.0, seconds=START):
        """The present message of ~/topic as a dict; waits until somebody publishes it.

        :param since: Unix time; an older message does not count. Needed after the node was killed: for a fifth of a
            second, until its end is noticed, its last message stays the present one.
        """
        def present():
            value, stamp = self._read().get(topic, (None, 0.0))
            return value if stamp >= since else None

        return wait('A message on ~{} of {}'.format(topic, self.robot), present, seconds, poll=0.05)

    def wait(self, what, topic, condition, seconds):
        """The first message of ~/topic, from the present one on, for which ``condition(message)`` holds."""
        def right():
            value = self.latest(topic)
            return value if value is not None and condition(value) else None

        try:
            return wait(what, right, seconds, poll=0.05)
        except Exception:
            print('{} of {}: {}'.format(topic, self.robot, self.latest(topic)))
            raise

    def since(self, topic, begin):
        """Every message of ~/topic from Unix time ``begin`` on, None where nobody published it any more."""
        assert self.lab.service_running(self.robot, SERVICE)
        self._read()
        return [value for value, stamp in self._all.get(topic, ()) if stamp >= begin]

    def stop(self):
        self.lab.stop_service(self.robot, SERVICE)

    def _read(self):
        """{topic: (message or None, Unix time)}"""
        with open(self.lab.log_path(self.robot, SERVICE), 'rb') as stream:
            stream.seek(self._position)
            data = stream.read()
        self._position += len(data)
        lines = (self._rest + data).split(b'\n')
        self._rest = lines.pop()
        for line in lines:
            # rospy prints other lines, too.
            if line.startswith(b'{"topic": '):
                record = json.loads(line)
                self._all.setdefault(record['topic'], []).append((record['value'], record['t']))
        return {topic: messages[-1] for topic, messages in self._all.items()}
