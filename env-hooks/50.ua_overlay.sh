# ua_overlay/env-hooks/50.ua_overlay.sh
#
# Gives a shell that a person uses the ROS environment of the robot's team: ROS_MASTER_URI and ROS_HOSTNAME (or ROS_IP)
# from the env file that the overlay node writes. Runs whenever setup.sh, setup.bash or setup.zsh is sourced, under dash,
# bash and zsh: POSIX sh, builtins only, no DNS.
#
# Whose shell: only an interactive one ($- has an i), but not `bash -ic COMMAND` of a unit, which wants its .bashrc. A
# script, a unit, cron and `ssh HOST COMMAND` get the graph that they had without this package; they join the team graph
# with `ua-overlay exec`. A script that is started from a shell in the team and sources a workspace leaves the team graph
# again, so that it is in the same graph at every start.
#
# Whose values: all or nothing, and a person's own values win, whenever they are set.
# - The hook replaces only an environment that is not set: ROS_MASTER_URI unset, or the default that ROS's set-up has
#   exported (10.roslaunch.sh notes that; http://localhost:11311 of one's own is a wish and stays), and neither
#   ROS_HOSTNAME nor ROS_IP. A LAN's ROS_IP with the overlay's master would list topics and deliver nothing.
# - A start-up file (.bashrc) may export its own values after it has sourced us, and may start programs. So there the
#   hook sets nothing, and decides before the first prompt. Until then ROS_MASTER_URI ends with a slash, which means the
#   same master to ROS: only so can the hook see that somebody exports the default afterwards.
# - Where a person types `source`, it decides at once, and again before the next prompt.
# - Before each prompt it looks again: if a value of the person's own has come, ours go. A shell with -c has no prompt;
#   there it looks before each command (a DEBUG trap).
# - Until the next prompt, and in dash, which has nothing that runs before a prompt, the name is in ROS_IP, even if it is
#   no address: ROS takes either word for word, and ROS_HOSTNAME wins over ROS_IP (get_address_override in
#   rosgraph/network.py, determineHost in roscpp's network.cpp, 1.15). So an export of either wins over ours.
# - What we set is remembered in _UA_OVERLAY_* (also for child shells), so that sourcing again updates it, and undoes it
#   when the file is gone. `ua-overlay exec` sets _UA_OVERLAY_ASKED: its programs keep what they were given.
#
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
  for _ua_value in "${_UA_OVERLAY_MASTER_URI-}" "${_UA_OVERLAY_PENDING-}"; do
    if [ -n "$_ua_value" ] && [ "${ROS_MASTER_URI-}" = "$_ua_value" ]; then
      if [ -n "${_UA_OVERLAY_BEFORE-}" ]; then export ROS_MASTER_URI="$_UA_OVERLAY_BEFORE"; else unset ROS_MASTER_URI; fi
    fi
  done
  if [ -n "${_UA_OVERLAY_HOSTNAME-}" ] && [ "${ROS_HOSTNAME-}" = "$_UA_OVERLAY_HOSTNAME" ]; then unset ROS_HOSTNAME; fi
  if [ -n "${_UA_OVERLAY_IP-}" ] && [ "${ROS_IP-}" = "$_UA_OVERLAY_IP" ]; then unset ROS_IP; fi
  unset _UA_OVERLAY_MASTER_URI _UA_OVERLAY_PENDING _UA_OVERLAY_BEFORE _UA_OVERLAY_HOSTNAME _UA_OVERLAY_IP
  unset UA_OVERLAY_TEAM UA_OVERLAY_ROBOT
}

_ua_overlay_ours() {
  # Whether nothing is set that a person, a unit or another program wants.
  [ -n "$_ua_uri" ] && [ -z "${ROS_HOSTNAME-}${ROS_IP-}" ] || return 1
  case ${ROS_MASTER_URI-} in
    '' | "$_ua_uri") return 0 ;;
    http://localhost:11311) ;;
    *) return 1 ;;
  esac
  if [ "${_UA_OVERLAY_DEFAULT-}" = "$ROS_MASTER_URI" ]; then return 0; fi
  # ROS's own setup.bash was sourced in this shell before ours, and exported the default: its rosbash defines roscd.
  if [ -n "${BASH_VERSION-}${ZSH_VERSION-}" ] && typeset -f roscd >/dev/null; then
    export _UA_OVERLAY_DEFAULT="$ROS_MASTER_URI"
    return 0
  fi
  return 1
}

_ua_overlay_set() {
  # Set the team's values, a name in the variable $1.
  _ua_overlay_ours || return 0
  if [ "${ROS_MASTER_URI-}" != "$_ua_uri" ]; then
    export _UA_OVERLAY_BEFORE="${ROS_MASTER_URI-}" _UA_OVERLAY_MASTER_URI="$_ua_uri" ROS_MASTER_URI="$_ua_uri"
  fi
  if [ -n "$_ua_host" ] && [ "$1" = ROS_HOSTNAME ]; then
    export _UA_OVERLAY_HOSTNAME="$_ua_host" ROS_HOSTNAME="$_ua_host"
  else
    export _UA_OVERLAY_IP="$_ua_ip$_ua_host" ROS_IP="$_ua_ip$_ua_host"
  fi
  if [ -n "$_ua_team" ]; then export UA_OVERLAY_TEAM="$_ua_team"; fi
  if [ -n "$_ua_robot" ]; then export UA_OVERLAY_ROBOT="$_ua_robot"; fi
  _ua_overlay_guard
}

_ua_overlay_defer() {
  # Leave this shell in its own graph until the prompt.
  _ua_overlay_ours || return 0
  if [ "${ROS_MASTER_URI-}" != "$_ua_uri" ]; then
    export _UA_OVERLAY_BEFORE="${ROS_MASTER_URI-}" _UA_OVERLAY_PENDING=http://localhost:11311/
    export ROS_MASTER_URI="$_UA_OVERLAY_PENDING"
  fi
}

_ua_overlay_forget() {
  unset _ua_dir _ua_file _ua_good _ua_line _ua_value _ua_uri _ua_host _ua_ip _ua_team _ua_robot
}

_ua_overlay_settle() {
  # Before a prompt, or a command of -c: decide if that is due, and give way to values that came since.
  [ -z "${_ua_overlay_busy-}" ] || return 0  # a command of our own: zsh has DEBUG traps in functions, too
  _ua_overlay_busy=1
  _ua_overlay_decide
  unset _ua_overlay_busy
}

_ua_overlay_decide() {
  if [ "${ROS_MASTER_URI-}|${ROS_HOSTNAME-}|${ROS_IP-}" = "${_ua_overlay_left-}" ]; then
    [ -n "${_ua_overlay_due-}" ] || return 0
    _ua_overlay_undo
    _ua_overlay_find
    _ua_overlay_read
    _ua_overlay_set ROS_HOSTNAME
  else
    _ua_overlay_undo
  fi
  unset _ua_overlay_due
  _ua_overlay_leave
}

_ua_overlay_leave() {
  _ua_overlay_forget
  _ua_overlay_left="${ROS_MASTER_URI-}|${ROS_HOSTNAME-}|${ROS_IP-}"
}

_ua_overlay_watch() {
  # Have _ua_overlay_settle called. In quotes what dash cannot read.
  _ua_overlay_due=1 _ua_overlay_watched=1
  if [ -n "${ZSH_VERSION-}" ]; then
    if [ -n "${ZSH_EXECUTION_STRING-}" ]; then
      trap _ua_overlay_settle DEBUG
    else
      eval 'typeset -ga precmd_functions
        if [[ ${precmd_functions[(I)_ua_overlay_settle]} == 0 ]]; then precmd_functions+=(_ua_overlay_settle); fi'
    fi
  elif case $- in *c*) false ;; esac; then
    # An element of its own outlives PROMPT_COMMAND=… of a start-up file; before bash 5.1 there is one string.
    eval 'if (( BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] > 500 )); then
        PROMPT_COMMAND[50]=_ua_overlay_settle
      else
        case ${PROMPT_COMMAND-} in
          *_ua_overlay_settle*) ;;
          *) PROMPT_COMMAND="${PROMPT_COMMAND:+$PROMPT_COMMAND
}if declare -F _ua_overlay_settle >/dev/null; then _ua_overlay_settle; fi" ;;
        esac
      fi'
  else
    trap _ua_overlay_settle DEBUG
  fi
}

_ua_overlay_typed() {
  # Whether a person typed `source` (or a function of theirs), or -c did; not a start-up file.
  if [ -n "${ZSH_VERSION-}" ]; then
    case $ZSH_EVAL_CONTEXT in toplevel* | cmdarg*) return 0 ;; *) return 1 ;; esac
  fi
  eval '_ua_value=${BASH_SOURCE[${#BASH_SOURCE[@]}-1]}'
  case ${_ua_value##*/} in main | environment | setup.* | local_setup.* | 50.ua_overlay.sh) return 0 ;; *) return 1 ;; esac
}

_ua_overlay_person() {
  # Whether a person uses this shell. systemd sets INVOCATION_ID for a unit and what it starts (systemd.exec(5)).
  case $- in
    *i*) ;;
    *) return 1 ;;
  esac
  [ -n "${INVOCATION_ID-}" ] || return 0
  if [ -z "${ZSH_EXECUTION_STRING-}" ]; then
    case $- in *c*) ;; *) return 0 ;; esac
  fi
  [ -t 0 ] || [ -t 1 ] || [ -t 2 ]  # a terminal that the session's service manager started
}

_ua_overlay_source() {
  if ! _ua_overlay_person; then
    if [ -n "${_UA_OVERLAY_ASKED-}" ] && [ "${ROS_MASTER_URI-}|${ROS_HOSTNAME-}|${ROS_IP-}" = \
      "${_UA_OVERLAY_MASTER_URI-}|${_UA_OVERLAY_HOSTNAME-}|${_UA_OVERLAY_IP-}" ]; then return 0; fi
    _ua_overlay_undo
    return 0
  fi
  _ua_overlay_undo
  _ua_overlay_find
  _ua_overlay_read
  if [ -z "${BASH_VERSION-}${ZSH_VERSION-}" ]; then
    _ua_overlay_set ROS_IP
    return 0
  fi
  if _ua_overlay_typed; then _ua_overlay_set ROS_IP; else _ua_overlay_defer; fi
  if _ua_overlay_ours || [ -n "${_UA_OVERLAY_MASTER_URI-}${_UA_OVERLAY_PENDING-}${_UA_OVERLAY_IP-}" ]; then
    _ua_overlay_leave
    _ua_overlay_watch  # last: a DEBUG trap holds from here on
  fi
}

_ua_overlay_busy=1
_ua_overlay_source
_ua_overlay_forget
unset _ua_overlay_busy
if [ -z "${_ua_overlay_watched-}" ]; then
  unset -f _ua_overlay_find _ua_overlay_read _ua_overlay_guard _ua_overlay_undo _ua_overlay_ours _ua_overlay_set
  unset -f _ua_overlay_defer _ua_overlay_forget _ua_overlay_settle _ua_overlay_decide _ua_overlay_leave
  unset -f _ua_overlay_watch _ua_overlay_typed _ua_overlay_person _ua_overlay_source
  unset _ua_overlay_left
fi
