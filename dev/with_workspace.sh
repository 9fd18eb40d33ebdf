#!/bin/bash
# Run a command in the environment of the built workspace, without the caller's ROS settings.
set -eo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
unset ROS_MASTER_URI ROS_HOSTNAME ROS_IP ROS_PACKAGE_PATH CMAKE_PREFIX_PATH PYTHONPATH
# In a function without arguments: setup.bash reads those of its caller, and catkin would take --local or --help as its own.
load() { . .workspace/install/setup.bash; }
load
exec "$@"
