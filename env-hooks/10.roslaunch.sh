# ua_overlay/env-hooks/10.roslaunch.sh
#
# Takes the place of roslaunch's own hook, word for word, and notes in _UA_OVERLAY_DEFAULT that the value is ROS's default
# and nobody's wish. Where ROS_MASTER_URI is set already, somebody wants that master, even if it is this very one, and
# 50.ua_overlay.sh leaves it alone.
#
# Of two hooks with one name, catkin runs the one of the later workspace (find_env_hooks in _setup_util.py), and an
# underlay's hooks all run before ours: so only this name comes in time. In one space with roslaunch, CMakeLists.txt
# installs this file as 05.ua_overlay.sh, which runs first.

if [ ! "${ROS_MASTER_URI-}" ]; then
  export ROS_MASTER_URI=http://localhost:11311 _UA_OVERLAY_DEFAULT=http://localhost:11311
fi
