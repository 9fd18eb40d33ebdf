"""On a robot: a ROS node that does nothing: what rospy alone costs."""
import json
import os

import rospy

rospy.init_node('bench_idle', disable_signals=True)
print(json.dumps({'pid': os.getpid()}), flush=True)
rospy.spin()
