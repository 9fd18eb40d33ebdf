#!/usr/bin/python3
"""Calls services, sets and gets parameters and sends goals, each in its own loop, until SIGUSR1."""
import itertools
import sys
import threading

import actionlib
import rospy
from actionlib.msg import TestAction, TestActionFeedback, TestGoal
from diagnostic_msgs.srv import AddDiagnostics
from nav_msgs.srv import GetPlan, GetPlanRequest
from record import finish_on_signal, finished, record


def plan(number, service):
    request = GetPlanRequest()
    request.start.header.seq = number
    return service(request).plan.header.seq == number


def echo(number, service):
    return service(str(number)).message == str(number)


def parameter(number, _):
    value = {'number': number, 'text': 'x' * 1000}
    rospy.set_param('/load/value', value)
    return rospy.get_param('/load/value') == value


def goal(number, client):
    """15 steps take 1.5 s: goals are under way when a link changes."""
    client.send_goal(TestGoal(goal=15))
    done = client.wait_for_result(rospy.Duration(120))
    result = client.get_result()
    return done and result is not None and result.result == 15


def loop(name, step, thing, period):
    for number in itertools.count(1):
        began = rospy.get_time()
        problem = ''
        try:
            ok = step(number, thing)
        except (rospy.ROSException, rospy.ServiceException, OSError) as error:
            ok, problem = False, '{}: {}'.format(type(error).__name__, error)
        record(called=name, n=number, ok=ok, problem=problem, took=rospy.get_time() - began)
        if finished.wait(period):
            record(end=name, n=number)
            return


rospy.init_node('client')
finish_on_signal()
roscpp_service = rospy.myargv(sys.argv)[1]
for name in ('/plan', roscpp_service):
    rospy.wait_for_service(name, 60)
# The topic itself: an action client drops feedback that arrives after the result, which has a connection of its own.
rospy.Subscriber('/count/feedback', TestActionFeedback,
                 lambda message: record(heard='/count/feedback', n=message.feedback.feedback,
                                        sent=message.header.stamp.to_sec()))
counter = actionlib.SimpleActionClient('/count', TestAction)
if not counter.wait_for_server(rospy.Duration(60)):
    sys.exit('The action /count did not come within 60 s.')
for arguments in (('/plan', plan, rospy.ServiceProxy('/plan', GetPlan), 0.2),
                  (roscpp_service, echo, rospy.ServiceProxy(roscpp_service, AddDiagnostics), 0.2),
                  ('parameter', parameter, None, 0.2), ('/count', goal, counter, 0.2)):
    threading.Thread(target=loop, args=arguments, daemon=True).start()
rospy.spin()
