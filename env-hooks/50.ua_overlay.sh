# ua_overlay/env-hooks/50.ua_overlay.sh
#
# Gives shells the ROS environment of the robot's team: ROS_MASTER_URI and ROS_HOSTNAME (or ROS_IP) from the env file
# that the overlay node writes. Runs in every new shell, under dash, bash and zsh: POSIX sh, builtins only, no DNS.
#
# - All or nothing. The hook replaces only an environment that is not set: ROS_MASTER_URI unset, or exactly the default
#   that 10.roslaunch.sh has exported before us, and neither ROS_HOSTNAME nor ROS_IP. Everything else is the user's and
#   stays: a LAN's ROS_IP with the overlay's master would list topics and deliver nothing.
# - A shell that already points to the team's master (roslaunch starting nodes on a remote machine) gets the name that
#   belongs to it, unless one is set.
# - What we set is remembered in _UA_OVERLAY_* (also for child shells), so that sourcing again updates it, and undoes it
#   when the file is gone.
# - The file is in $UA_OVERLAY_RUN_DIR, else in /run/ua_overlay if that exists, else in $XDG_RUNTIME_DIR/ua_overlay. The
#   first and the last come from variables of the user, so directory and file must be the user's own. No builtin shows
#   whether another user owns a file, so /run/ua_overlay is trusted because only root can have created it: only root
#   creates files in /run, and `robot prepare` makes the directory 0755 for one user. If a user who does not own it can
#   write there, others can too, and the file is not used. (Root can write everywhere, so root relies on that mode alone;
#   `ua-overlay env` checks owner and mode in full for everyone.)
# - In a shell that points to the team, overlay.launch would start in the team's graph, or wait minutes for a master that
#   does not answer: roslaunch asks the master before it reads a file. So there `roslaunch` is a function that refuses that
#   one launch file with a sentence, and is roslaunch itself for all others. The user's own alias or function stays.
# - A value with a character that no name, address or URI has makes the whole file invalid.
#
# The same rules in Python: ua_overlay/rosenv/envfile.py.

_ua_overlay_find() {
  _ua_file=
  if [ -n "${UA_OVERLAY_RUN_DIR-}" ]; then
    _ua_dir=$UA_OVERLAY_RUN_DIR
  elif [ -d /run/ua_overlay ]; then
    _ua_dir=/run/ua_overlay
    [ -f "$_ua_dir/env" ] && [ ! -L "$_ua_dir/env" ] && [ -r "$_ua_dir/env" ] || return 0
    if [ ! -O / ]; then  # not root
      if [ -w "$_ua_dir" ] && [ ! -O "$_ua_dir" ]; then return 0; fi
      if [ -w "$_ua_dir/env" ] && [ ! -O "$_ua_dir/env" ]; then return 0; fi
    fi
    _ua_file=$_ua_dir/env
    return 0
  elif [ -n "${XDG_RUNTIME_DIR-}" ]; then
    _ua_dir=$XDG_RUNTIME_DIR/ua_overlay
  else
    return 0
  fi
  [ -f "$_ua_dir/env" ] && [ ! -L "$_ua_dir/env" ] && [ -O "$_ua_dir/env" ] && [ -O "$_ua_dir" ] || return 0
  _ua_file=$_ua_dir/env
}

_ua_overlay_read() {
  # Sets _ua_uri, _ua_host, _ua_ip, _ua_team, _ua_robot; _ua_uri is empty unless the whole file is good.
  _ua_uri= _ua_host= _ua_ip= _ua_team= _ua_robot=
  [ -n "$_ua_file" ] || return 0
  _ua_good=1
  # The file may be removed while we read it: then print nothing, and use nothing.
  { while IFS= read -r _ua_line || [ -n "$_ua_line" ]; do
    _ua_value=${_ua_line#*=}
    case $_ua_line in
      '' | '#'*) continue ;;
      ROS_MASTER_URI=*) _ua_uri=$_ua_value ;;
      ROS_HOSTNAME=*) _ua_host=$_ua_value ;;
      ROS_IP=*) _ua_ip=$_ua_value ;;
      UA_OVERLAY_TEAM=*) _ua_team=$_ua_value ;;
      UA_OVERLAY_ROBOT=*) _ua_robot=$_ua_value ;;
      *=*) continue ;;
      *) _ua_good= ;;
    esac
    case $_ua_value in  # letters one by one: a range holds more of them in some locales
      '' | *[!ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.:/_-]*) _ua_good= ;;
    esac
  done < "$_ua_file"; } 2>/dev/null
  case $_ua_uri in
    http://*) ;;
    *) _ua_good= ;;
  esac
  if [ -n "$_ua_host" ] && [ -n "$_ua_ip" ]; then _ua_good=; fi
  if [ -z "$_ua_host$_ua_ip" ]; then _ua_good=; fi
  [ -n "$_ua_good" ] || _ua_uri=
}

_ua_overlay_guard() {
  hash roslaunch 2>/dev/null || return 0
  # The user's own stays. Only dash needs a process to recognise a function.
  if alias roslaunch >/dev/null 2>&1; then return 0; fi
  if [ -n "${BASH_VERSION-}${ZSH_VERSION-}" ]; then
    if typeset -f roslaunch >/dev/null; then return 0; fi
  else
    case $(command -v roslaunch) in /*) ;; *) return 0 ;; esac
  fi
  _UA_OVERLAY_GUARDED=1
  # In quotes, since a shell expands aliases when it reads a definition, not when it runs it.
  eval 'roslaunch() {
    if [ -n "${_UA_OVERLAY_MASTER_URI-}" ] && [ "${ROS_MASTER_URI-}" = "$_UA_OVERLAY_MASTER_URI" ]; then
      case " $* " in
        *" ua_overlay overlay.launch "*)
          echo "This shell points to the team graph. Next: ua-overlay exec --local roslaunch ua_overlay overlay.launch" >&2
          return 1 ;;
      esac
    fi
    command roslaunch "$@"
  }'
}

_ua_overlay_undo() {
  if [ -n "${_UA_OVERLAY_GUARDED-}" ]; then unset -f roslaunch || :; fi
  unset _UA_OVERLAY_GUARDED
  # Restore what is still as we left it; keep what the user changed since.
  if [ -n "${_UA_OVERLAY_MASTER_URI-}" ] && [ "${ROS_MASTER_URI-}" = "$_UA_OVERLAY_MASTER_URI" ]; then
    if [ -n "${_UA_OVERLAY_BEFORE-}" ]; then export ROS_MASTER_URI="$_UA_OVERLAY_BEFORE"; else unset ROS_MASTER_URI; fi
  fi
  if [ -n "${_UA_OVERLAY_HOSTNAME-}" ] && [ "${ROS_HOSTNAME-}" = "$_UA_OVERLAY_HOSTNAME" ]; then unset ROS_HOSTNAME; fi
  if [ -n "${_UA_OVERLAY_IP-}" ] && [ "${ROS_IP-}" = "$_UA_OVERLAY_IP" ]; then unset ROS_IP; fi
  unset _UA_OVERLAY_MASTER_URI _UA_OVERLAY_BEFORE _UA_OVERLAY_HOSTNAME _UA_OVERLAY_IP UA_OVERLAY_TEAM UA_OVERLAY_ROBOT
}

_ua_overlay_set() {
  [ -n "$_ua_uri" ] || return 0
  [ -z "${ROS_HOSTNAME-}" ] && [ -z "${ROS_IP-}" ] || return 0
  case ${ROS_MASTER_URI-} in
    "$_ua_uri") ;;
    '' | http://localhost:11311)
      export _UA_OVERLAY_BEFORE="${ROS_MASTER_URI-}" _UA_OVERLAY_MASTER_URI="$_ua_uri" ROS_MASTER_URI="$_ua_uri" ;;
    *) return 0 ;;
  esac
  if [ -n "$_ua_host" ]; then export _UA_OVERLAY_HOSTNAME="$_ua_host" ROS_HOSTNAME="$_ua_host"; fi
  if [ -n "$_ua_ip" ]; then export _UA_OVERLAY_IP="$_ua_ip" ROS_IP="$_ua_ip"; fi
  if [ -n "$_ua_team" ]; then export UA_OVERLAY_TEAM="$_ua_team"; fi
  if [ -n "$_ua_robot" ]; then export UA_OVERLAY_ROBOT="$_ua_robot"; fi
  _ua_overlay_guard
}

_ua_overlay_find
_ua_overlay_read
_ua_overlay_undo
_ua_overlay_set
unset -f _ua_overlay_find _ua_overlay_read _ua_overlay_guard _ua_overlay_undo _ua_overlay_set
unset _ua_dir _ua_file _ua_good _ua_line _ua_value _ua_uri _ua_host _ua_ip _ua_team _ua_robot
