"""The team runner in messages and diagnostics, and what join and leave answer in the team graph."""
import rospy
from diagnostic_msgs.msg import DiagnosticStatus

from ua_overlay import msg
from ua_overlay.nodes.messages import stamp
from ua_overlay.rosenv import report as reports


def runner_message(report):
    """`TeamRunner` of a rosenv.report.Report."""
    runner = report.runner
    message = msg.TeamRunner()
    message.header.stamp = stamp(report.desired.stamp)
    message.state, message.why, message.starts = runner.state, runner.why, runner.starts
    message.launch = ' '.join(runner.launch)
    if runner.graph is not None:
        message.master_uri, message.run_id = runner.graph.uri, runner.graph.run_id
    return message


def runner_check(report):
    """(level, text, {key: value}) for /diagnostics."""
    runner = report.runner
    level = {reports.FAILED: DiagnosticStatus.ERROR, reports.STOPPING: DiagnosticStatus.WARN}.get(
        runner.state, DiagnosticStatus.OK)
    if runner.state == reports.WAITING and report.desired.usable:
        level = DiagnosticStatus.WARN
    return level, '{}: {}'.format(runner.state, runner.why), {
        'launch': ' '.join(runner.launch), 'starts': str(runner.starts),
        'ROS_MASTER_URI': '' if runner.graph is None else runner.graph.uri}


def refusal(name, answer, robot):
    """The REFUSED answer of a service that was called from the team graph.

    :param answer: class of the response.
    """
    here = 'ua-overlay join INVITATION' if name == 'join' else 'ua-overlay leave'
    rospy.logwarn('%s was called from the team graph and refused.', name)
    return answer(code=answer.REFUSED, message='{} takes no {} from the team graph (allow_remote_control is off). '
                  'Next: on {}: {}'.format(robot, name, robot, here))
