"""Where the tests find the project: one place for each path."""
import os

#: The checkout.
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SOURCE = os.path.join(ROOT, 'src')
CONFIG = os.path.join(ROOT, 'config')
#: What tailscaled and others answered once, recorded.
DATA = os.path.join(ROOT, 'test', 'data')
#: The built catkin workspace (dev/prepare.sh).
WORKSPACE = os.path.join(ROOT, '.workspace')
