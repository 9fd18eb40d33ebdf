#!/bin/bash
# Runs a command in the built workspace's environment, with nothing of the caller's ROS left in it.
set -eo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
unset ROS_MASTER_URI ROS_HOSTNAME ROS_IP ROS_PACKAGE_PATH CMAKE_PREFIX_PATH PYTHONPATH
. .workspace/install/setup.bash
exec "$@"
