"""env-hooks/50.ua_overlay.sh in dash, bash and zsh, after roslaunch's own hook, as catkin's setup files run them."""
import os
import re
import shutil
import subprocess

import pytest
from open_directory import open_directory
from paths import ROOT

from ua_overlay.rosenv import envfile, launch
from ua_overlay.rosenv.envfile import Location

HOOK = os.path.join(ROOT, 'env-hooks', '50.ua_overlay.sh')
#: It takes the place of roslaunch's own hook.
NOTE = os.path.join(ROOT, 'env-hooks', '10.roslaunch.sh')
#: roslaunch/env-hooks/10.roslaunch.sh, word for word.
ROSLAUNCH = 'if [ ! "$ROS_MASTER_URI" ]; then\n  export ROS_MASTER_URI=http://localhost:11311\nfi\n'
DEFAULT = 'http://localhost:11311'
URI = 'http://dev-1.overlay.internal:11312'
TEAM = {'ROS_MASTER_URI': URI, 'ROS_HOSTNAME': 'dev-2.overlay.internal', 'UA_OVERLAY_TEAM': 'iris',
        'UA_OVERLAY_ROBOT': 'dev-2'}
NAMES = ('ROS_MASTER_URI', 'ROS_HOSTNAME', 'ROS_IP', 'UA_OVERLAY_TEAM', 'UA_OVERLAY_ROBOT')
NOBODY = 65534

#: Interactive ones, without a terminal.
SHELLS = {'dash': ['dash', '-eui'], 'bash': ['bash', '--norc', '-eui'],
          'bash-posix': ['bash', '--norc', '--posix', '-eui'], 'zsh': ['zsh', '-f', '-eui']}
#: What they say about that.
NO_TERMINAL = re.compile(r'.*(terminal process group|no job control|job control turned off).*\n')


@pytest.fixture(params=sorted(SHELLS))
def shell(request):
    if shutil.which(SHELLS[request.param][0]) is None:
        pytest.skip('{} is not installed'.format(SHELLS[request.param][0]))
    return SHELLS[request.param]


class Robot:
    """A directory for the env file, and shells that read it."""

    def __init__(self, shell, directory):
        self.shell = shell
        self.directory = directory
        self.place = Location(str(directory / 'run'), True)
        self.environ = {'PATH': os.environ['PATH'], 'HOME': str(directory), 'UA_OVERLAY_RUN_DIR': self.place.directory}
        self.hook, self.note = HOOK, NOTE
        self.user = []

    def join(self, **changes):
        variables = dict(TEAM, **changes)
        envfile.write(self.place, {key: value for key, value in variables.items() if value})

    def write_raw(self, data):
        os.makedirs(self.place.directory, exist_ok=True)
        with open(self.place.path, 'wb') as stream:
            stream.write(data)

    def run(self, script, **environ):
        """Run a script in which `setup` sources both hooks and `show` prints the variables. Returns shown dicts."""
        prelude = ('setup() {{ . {0}; . {1}; }}\n'
                   'show() {{ env; echo; }}\n'
                   'leave() {{ rm -f "{2}"; }}\n').format(self.note, self.hook, self.place.path)
        result = subprocess.run(self.user + self.shell + ['-c', prelude + script], env=dict(self.environ, **environ),
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=20)
        assert (result.returncode, NO_TERMINAL.sub('', result.stderr.decode())) == (0, '')
        shown = [dict(line.split('=', 1) for line in block.split('\n'))
                 for block in result.stdout.decode().split('\n\n') if block.strip()]
        shown = [{key: value for key, value in block.items()
                  if key in NAMES or 'UA_OVERLAY' in key and key not in ('UA_OVERLAY_RUN_DIR', '_UA_OVERLAY_DEFAULT')}
                 for block in shown]
        for block in shown if self.shell[0] == 'dash' else ():
            # There the hook leaves a name in ROS_IP: test_a_name_in_dash.
            if not re.match('[0-9.]+$', block.get('ROS_IP', '1')):
                block['ROS_HOSTNAME'] = block.pop('ROS_IP')
        return shown

    def become_nobody(self):
        """Shells are another user's from here on, who may not be able to read a checkout in a home directory."""
        if self.hook == HOOK:
            self.hook = shutil.copy(HOOK, str(self.directory))
        self.note = shutil.copy(NOTE, str(self.directory))
        self.user = ['setpriv', '--reuid', str(NOBODY), '--regid', str(NOBODY), '--clear-groups']

    def setup(self, **environ):
        """The variables of a new shell, without the markers."""
        return only_names(self.run('setup; show', **environ)[0])


def only_names(shown):
    return {key: value for key, value in shown.items() if key in NAMES}


@pytest.fixture
def robot(shell):
    with open_directory() as directory:
        yield Robot(shell, directory)


def test_without_an_overlay_nothing_changes(robot):
    assert robot.run('setup; show') == [{'ROS_MASTER_URI': DEFAULT}]


def test_a_new_shell_is_in_the_team(robot):
    robot.join()
    assert robot.setup() == TEAM


def test_addresses(robot):
    robot.join(ROS_HOSTNAME='', ROS_IP='100.64.0.2')
    assert robot.setup() == dict({key: TEAM[key] for key in TEAM if key != 'ROS_HOSTNAME'}, ROS_IP='100.64.0.2')


@pytest.mark.parametrize('own', [
    {'ROS_MASTER_URI': 'http://192.168.1.5:11311'}, {'ROS_MASTER_URI': DEFAULT + '/'}, {'ROS_IP': '192.168.1.7'},
    {'ROS_HOSTNAME': 'localhost'}, {'ROS_MASTER_URI': 'http://192.168.1.5:11311', 'ROS_IP': '192.168.1.7'}])
def test_variables_set_by_the_user_stay(robot, own):
    robot.join()
    assert robot.setup(**own) == dict({'ROS_MASTER_URI': DEFAULT}, **own)


def test_a_shell_with_the_team_master_gets_the_name(robot):
    """roslaunch starts remote nodes with `env ROS_MASTER_URI=<uri> <env-loader>`; the env-loader sources setup.sh."""
    robot.join()
    shown = robot.run('setup; show; leave; setup; show', ROS_MASTER_URI=URI)
    assert only_names(shown[0]) == TEAM
    assert shown[1] == {'ROS_MASTER_URI': URI}


def test_sourcing_again_after_leave_undoes_it_all(robot):
    robot.join()
    assert robot.run('setup; show; leave; setup; show')[1] == {'ROS_MASTER_URI': DEFAULT}


def test_unset_before_is_unset_afterwards(robot):
    """Without roslaunch's hook there was no default to go back to."""
    robot.join()
    shown = robot.run('. {0}; show; leave; . {0}; show'.format(HOOK))
    assert only_names(shown[0]) == TEAM and shown[1] == {}


def test_sourcing_again_after_a_change_updates_it(robot):
    robot.join()
    text = envfile.dump({'ROS_MASTER_URI': 'http://dev-3.overlay.internal:11400', 'ROS_IP': '100.64.0.9',
                         'UA_OVERLAY_TEAM': 'blue', 'UA_OVERLAY_ROBOT': 'dev-2-1'})
    (robot.directory / 'new').write_text(text)
    shown = robot.run('setup; show; cp {}/new {}; setup; show; leave; setup; show'.format(
        robot.directory, robot.place.path))
    assert only_names(shown[1]) == {'ROS_MASTER_URI': 'http://dev-3.overlay.internal:11400', 'ROS_IP': '100.64.0.9',
                                    'UA_OVERLAY_TEAM': 'blue', 'UA_OVERLAY_ROBOT': 'dev-2-1'}
    assert shown[2] == {'ROS_MASTER_URI': DEFAULT}


def test_a_child_shell_updates_variables_of_its_parent(robot):
    robot.join()
    script = 'setup; leave; {} -c \'. {}; env; echo\''.format(' '.join(robot.shell), HOOK)
    assert robot.run(script) == [{'ROS_MASTER_URI': DEFAULT}]


def test_later_changes_by_the_user_stay(robot):
    robot.join()
    shown = robot.run('setup; export ROS_MASTER_URI=http://192.168.1.5:11311; setup; show')
    # Our name goes with our master: no mix of two graphs.
    assert only_names(shown[0]) == {'ROS_MASTER_URI': 'http://192.168.1.5:11311'}


def test_a_shell_under_exec_is_updated(robot):
    robot.join()
    environ = launch.team_environ({}, TEAM)
    assert only_names(robot.run('setup; show', **environ)[0]) == TEAM
    assert only_names(robot.run('leave; setup; show', **environ)[0]) == {'ROS_MASTER_URI': DEFAULT}


def test_a_shell_under_exec_local_stays_local(robot):
    robot.join()
    assert robot.setup(**launch.local_environ({})) == {'ROS_MASTER_URI': DEFAULT, 'ROS_HOSTNAME': 'localhost'}


@pytest.mark.parametrize('data', [
    b'', b'\n', b'ROS_MASTER_URI=http://a:1\n', b'ROS_HOSTNAME=a\n', b'ROS_MASTER_URI=a:1\nROS_HOSTNAME=a\n',
    b'ROS_MASTER_URI=http://a:1\nROS_HOSTNAME=$(touch owned)\n', b'ROS_MASTER_URI=http://a:1\nROS_HOSTNAME=`id`\n',
    b'ROS_MASTER_URI=http://a:1\nROS_HOSTNAME=a;touch owned\n', b'ROS_MASTER_URI=http://a:1\nROS_HOSTNAME=a b\n',
    b'ROS_MASTER_URI=http://a:1\nROS_HOSTNAME=*\n', b'ROS_MASTER_URI=http://a:1\nROS_HOSTNAME=a\\\nb\n',
    b'ROS_MASTER_URI=http://a:1\nROS_HOSTNAME=a\nROS_IP=1\n', b'ROS_MASTER_URI=http://a:1\nROS_HOSTNAME=a\nrm\n',
    b'ROS_MASTER_URI=http://a:1\nROS_HOSTNAME=\xc3\xa9\n', b'ROS_MASTER_URI=http://a:1\nROS_HOSTNAME=a\r\n',
    b'ROS_MASTER_URI=http://a:1\nROS_HOSTNAME=a\nUA_OVERLAY_TEAM=a"b\n'])
def test_invalid_files_change_nothing(robot, data):
    """The same files that envfile.parse refuses."""
    robot.write_raw(data)
    with pytest.raises(ValueError):
        envfile.parse(data.decode('ascii'))
    assert robot.setup() == {'ROS_MASTER_URI': DEFAULT}
    assert robot.setup(LC_ALL='C.UTF-8') == {'ROS_MASTER_URI': DEFAULT}


@pytest.mark.parametrize('data', [
    b'# c\n\nLD_PRELOAD=/tmp/x.so $(id)\nROS_MASTER_URI=http://a:1\nROS_HOSTNAME=a',
    b'ROS_MASTER_URI=http://a:1\nROS_HOSTNAME=a\nPATH=/evil\n'])
def test_other_variables_are_ignored(robot, data):
    robot.write_raw(data)
    shown = robot.run('setup; env; echo')
    assert only_names(shown[0]) == envfile.parse(data.decode()) == {'ROS_MASTER_URI': 'http://a:1', 'ROS_HOSTNAME': 'a'}
    assert robot.run('setup; [ "$PATH" = "{}" ]; [ -z "${{LD_PRELOAD-}}" ]; show'.format(os.environ['PATH']))


def test_links_pipes_and_directories_are_ignored(robot):
    robot.join()
    os.rename(robot.place.path, str(robot.directory / 'elsewhere'))
    os.symlink(str(robot.directory / 'elsewhere'), robot.place.path)
    assert robot.setup() == {'ROS_MASTER_URI': DEFAULT}
    os.unlink(robot.place.path)
    os.mkfifo(robot.place.path)
    assert robot.setup() == {'ROS_MASTER_URI': DEFAULT}
    os.unlink(robot.place.path)
    os.mkdir(robot.place.path)
    assert robot.setup() == {'ROS_MASTER_URI': DEFAULT}


@pytest.mark.parametrize('interactive, joined', [(True, False), (False, True)])
def test_leaves_no_function_and_no_variable_behind(robot, interactive, joined):
    """Where there is nothing to watch."""
    if joined:
        robot.join()
    if not interactive:
        robot.shell = [word.replace('-eui', '-eu') for word in robot.shell]
    robot.run('setup; if set | grep -E "^_ua_[a-z_]+="; then exit 1; fi;'
              ' if command -v _ua_overlay_set _ua_overlay_read _ua_overlay_settle; then exit 1; fi; show')


SENTENCE = 'This shell points to the team graph. Next: ua-overlay exec --local roslaunch ua_overlay overlay.launch'
OVERLAY_LAUNCH = 'roslaunch ua_overlay overlay.launch'


def test_the_message_matches_the_launch_file():
    with open(os.path.join(ROOT, 'launch', 'overlay.launch')) as stream:
        assert SENTENCE in stream.read()


class FakeRoslaunch:
    """A `roslaunch` on the PATH of a robot's shells that prints its arguments."""

    def __init__(self, robot):
        self.robot = robot
        binary = robot.directory / 'bin'
        binary.mkdir()
        (binary / 'roslaunch').write_text('#!/bin/sh\necho "launched $*"\n')
        (binary / 'roslaunch').chmod(0o755)
        robot.environ['PATH'] = '{}:{}'.format(binary, robot.environ['PATH'])

    def say(self, script):
        """The output of a shell, errors included, after it sourced both hooks; `;` and newlines separate commands."""
        prelude = 'setup() {{ . {}; . {}; }}\nset +eu\n'.format(self.robot.note, self.robot.hook)
        done = subprocess.run(self.robot.shell + ['-c', prelude + script], env=self.robot.environ, timeout=20,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        return NO_TERMINAL.sub('', done.stdout.decode()).splitlines()


@pytest.fixture
def roslaunch(robot):
    return FakeRoslaunch(robot)


def test_overlay_launch_in_a_team_shell_is_refused_at_once(robot, roslaunch):
    robot.join()
    said = roslaunch.say('setup; {} heartbeat:=5; echo $?; roslaunch --screen ua_overlay overlay.launch; echo $?'
                         .format(OVERLAY_LAUNCH))
    assert said == [SENTENCE, '1', SENTENCE, '1']


def test_other_launch_files_and_shells_use_the_real_roslaunch(robot, roslaunch):
    robot.join()
    said = roslaunch.say(
        'setup; roslaunch my_robot drive.launch "a b:=c"; roslaunch my_ua_overlay overlay.launch; setup;'
        'ROS_MASTER_URI=http://other:11311; {0}; setup; rm -rf {1}; setup; {0}; command -v roslaunch'.format(
            OVERLAY_LAUNCH, robot.place.directory))
    assert said == ['launched my_robot drive.launch a b:=c', 'launched my_ua_overlay overlay.launch',
                    'launched ua_overlay overlay.launch', 'launched ua_overlay overlay.launch',
                    str(robot.directory / 'bin' / 'roslaunch')]
    assert roslaunch.say('setup; ' + OVERLAY_LAUNCH) == ['launched ua_overlay overlay.launch']


def test_a_roslaunch_function_of_the_user_stays(robot, roslaunch):
    robot.join()
    assert roslaunch.say('roslaunch() { echo mine; }; setup; setup; ' + OVERLAY_LAUNCH) == ['mine']
    aliased = ('shopt -s expand_aliases 2>/dev/null; alias roslaunch="echo alias"\n'
               'setup; setup; echo "$ROS_MASTER_URI"\n')
    assert roslaunch.say(aliased + 'eval ' + OVERLAY_LAUNCH) == [URI, 'alias ua_overlay overlay.launch']


def test_directories_of_the_env_file(robot):
    """Without the variable: /run/ua_overlay (renamed for the test) if it exists, else $XDG_RUNTIME_DIR."""
    del robot.environ['UA_OVERLAY_RUN_DIR']
    shared = use_shared_place(robot)
    envfile.write(Location(str(robot.directory / 'user' / 'ua_overlay'), True), dict(TEAM, ROS_HOSTNAME='user'))
    assert robot.setup(XDG_RUNTIME_DIR=str(robot.directory / 'user'))['ROS_HOSTNAME'] == 'user'
    assert robot.setup() == {'ROS_MASTER_URI': DEFAULT}
    os.mkdir(shared)
    assert robot.setup(XDG_RUNTIME_DIR=str(robot.directory / 'user')) == {'ROS_MASTER_URI': DEFAULT}
    (robot.directory / 'shared' / 'env').write_text(envfile.dump(TEAM))
    assert robot.setup(XDG_RUNTIME_DIR=str(robot.directory / 'user')) == TEAM


def use_shared_place(robot):
    """Make the hook use a directory of the test instead of /run/ua_overlay, and return it."""
    shared = str(robot.directory / 'shared')
    with open(HOOK, encoding='utf-8') as stream:
        text = stream.read()
    assert text.count('/run/ua_overlay') >= 2
    robot.hook = str(robot.directory / 'hook.sh')
    (robot.directory / 'hook.sh').write_text(text.replace('/run/ua_overlay', shared))
    robot.environ.pop('UA_OVERLAY_RUN_DIR', None)
    return shared


needs_users = pytest.mark.skipif(os.geteuid() != 0 or shutil.which('setpriv') is None,
                                 reason='other users are tried as root, with setpriv')


@needs_users
@pytest.mark.parametrize('owner, directory_mode, file_mode, taken', [
    (4711, 0o755, 0o644, True),       # the service's user, as `robot prepare` makes it
    (0, 0o755, 0o644, True),          # root's
    (NOBODY, 0o755, 0o644, True),     # one's own
    (4711, 0o777, 0o644, False),      # everybody may put a file there
    (4711, 0o755, 0o666, False),      # everybody may change the file
    (4711, 0o755, 0o600, False)])     # not for others to read
def test_shared_directory_of_another_user(robot, owner, directory_mode, file_mode, taken):
    shared = use_shared_place(robot)
    place = Location(shared, False)
    os.mkdir(shared)
    envfile.write(place, TEAM)
    os.chmod(place.path, file_mode)
    os.chmod(shared, directory_mode)
    for path in (place.path, shared):
        os.chown(path, owner, owner)
    robot.become_nobody()
    assert robot.setup() == (TEAM if taken else {'ROS_MASTER_URI': DEFAULT})


@needs_users
@pytest.mark.parametrize('directory_owner, file_owner', [(NOBODY, 4711), (4711, NOBODY), (4711, 4711), (0, 0)])
def test_personal_directory_of_another_user(robot, directory_owner, file_owner):
    """XDG_RUNTIME_DIR that points elsewhere, as after `su` or into /tmp: only one's own counts."""
    robot.join()
    os.chown(robot.place.directory, directory_owner, -1)
    os.chown(robot.place.path, file_owner, -1)
    robot.become_nobody()
    assert robot.setup() == {'ROS_MASTER_URI': DEFAULT}


@needs_users
def test_root_uses_the_file_of_the_service_user(robot):
    shared = use_shared_place(robot)
    os.mkdir(shared)
    envfile.write(Location(shared, False), TEAM)
    for path in (shared, os.path.join(shared, 'env')):
        os.chown(path, 4711, 4711)
    assert robot.setup() == TEAM


def cpu_seconds(words):
    """Sum of the output of the builtin `times`: 0m0.024s four times, shell and children, user and system."""
    return sum(60 * float(minutes) + float(seconds[:-1]) for minutes, seconds in (word.split('m') for word in words))


def test_is_fast(robot, roslaunch):
    """The hook may cost 5 ms per shell; measured as the mean of 200, without the start of the shell.

    Processor time of the shell and its children: the hook never sleeps, and other programs do not count.
    """
    robot.join()
    script = 'times; i=0; while [ $i -lt 200 ]; do . {}; i=$((i+1)); done; times'.format(robot.hook)
    result = subprocess.run(robot.shell + ['-c', script], env=robot.environ, stdout=subprocess.PIPE, timeout=60,
                            check=True)
    words = result.stdout.decode().split()
    assert len(words) == 8
    spent = cpu_seconds(words[4:]) - cpu_seconds(words[:4])
    assert spent / 200 < 0.005
    print('{}: {:.0f} µs'.format(' '.join(robot.shell), 1e6 * spent / 200))


def test_runs_no_command(robot):
    """With an empty PATH, and nothing but builtins, it works as well."""
    robot.join()
    command = [shutil.which(robot.shell[0])] + robot.shell[1:] + ['-c', '. {}; echo "$ROS_MASTER_URI"'.format(HOOK)]
    result = subprocess.run(command, env=dict(robot.environ, PATH='/nowhere'), stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)
    assert (result.stdout.decode(), NO_TERMINAL.sub('', result.stderr.decode())) == (URI + '\n', '')
