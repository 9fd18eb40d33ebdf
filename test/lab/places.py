"""Where the lab tests find what they run."""
import os

#: This checkout.
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
#: The catkin workspace that `make prepare` builds from it, and its install space.
WORKSPACE = os.path.realpath(os.path.join(ROOT, '.workspace'))
INSTALL = os.path.join(WORKSPACE, 'install')
#: The command of the checkout: for hosts of a lab that need no ROS.
COMMAND = os.path.join(ROOT, 'scripts', 'ua-overlay')
