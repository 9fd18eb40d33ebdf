#!/bin/sh
# env-loader for roslaunch's remote machines: runs a program in the environment of this workspace and this robot's team.
#
#   <machine name="dev-2" address="dev-2.overlay.internal" user="robot"
#            env-loader="/opt/my_ws/install/lib/ua_overlay/env_loader.sh"/>
#
# roslaunch runs over ssh:  env ROS_MASTER_URI=URI env_loader.sh roslaunch -c …
# The workspace is the one that this script was installed into, or that of $UA_OVERLAY_SETUP (the path of a setup.sh); the
# ssh server has to accept that variable.
#
# Whoever starts a remote machine with the team's master asked for the team graph: then the program gets ROS_HOSTNAME (or
# ROS_IP) from `ua-overlay env`, unless one is set. The env hook is for interactive shells and does nothing here. URIs are
# compared letter by letter, and roslaunch passes on a slash at the end if the launching shell has one.
set -e

if [ $# = 0 ]; then
  echo "env_loader.sh: there is no command to run. Name this script in <machine env-loader=\"…\"/> of a launch file." >&2
  exit 2
fi

setup=${UA_OVERLAY_SETUP-}
if [ -z "$setup" ]; then
  # From the real path: launch files may name a link.
  here=$(dirname -- "$(readlink -f -- "$0")")
  # Installed: PREFIX/lib/ua_overlay; in a workspace's src: the devel space beside it.
  for setup in "$here/../../setup.sh" "$here/../../../devel/setup.sh" "$here/../../../../devel/setup.sh"; do
    if [ -f "$setup" ]; then break; fi
  done
fi
if [ ! -f "$setup" ]; then
  echo "env_loader.sh: there is no workspace around $0. Next: name its setup.sh in UA_OVERLAY_SETUP" >&2
  exit 1
fi

if [ -n "${ROS_MASTER_URI-}" ]; then export ROS_MASTER_URI="${ROS_MASTER_URI%/}"; fi
CATKIN_SHELL=sh
_CATKIN_SETUP_DIR=$(cd -- "$(dirname -- "$setup")" && pwd)
# In a function, which has its own arguments: setup.sh would parse ours (--local, --extend).
load() { . "$_CATKIN_SETUP_DIR/setup.sh"; }
set +e
load
if [ -z "${ROS_HOSTNAME-}${ROS_IP-}" ] && command -v ua-overlay >/dev/null && team=$(ua-overlay env --shell) && \
    [ "$(eval "$team"; printf %s "$ROS_MASTER_URI")" = "${ROS_MASTER_URI-}" ]; then eval "$team"; fi
set -e

exec "$@"
