#!/usr/bin/python3
"""Offers a service and an action to the other robots."""
import itertools

import actionlib
import rospy
from actionlib.msg import TestAction, TestFeedback, TestResult
from nav_msgs.srv import GetPlan, GetPlanResponse


def plan(request):
    """The number of the request comes back as the number of the answer."""
    answer = GetPlanResponse()
    answer.plan.header.seq = request.start.header.seq
    return answer


def count(goal):
    """As many steps as the goal says, ten a second, each with the next number as feedback; then the goal as result."""
    rate = rospy.Rate(10)
    for _ in range(goal.goal):
        action.publish_feedback(TestFeedback(feedback=next(steps)))
        rate.sleep()
    action.set_succeeded(TestResult(result=goal.goal))


rospy.init_node('server')
steps = itertools.count(1)
rospy.Service('/plan', GetPlan, plan)
action = actionlib.SimpleActionServer('/count', TestAction, execute_cb=count, auto_start=False)
action.start()
rospy.spin()
