"""On a robot: an idle ROS node, for the cost of rospy alone."""
import json
import os

import rospy

rospy.init_node('bench_idle', disable_signals=True)
print(json.dumps({'pid': os.getpid()}), flush=True)
rospy.spin()
