"""One process of a kind: a lock that its process cannot leave behind, and a record of who has it."""
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from paths import ROOT

from ua_overlay.system import instance
from ua_overlay.system.instance import AlreadyRunning, Holder, Instance, myself, parse_holder, read_holder

#: Claims, says so, and lives until it is ended; an argument `fork` leaves a child behind.
CLAIMER = '''
import subprocess, sys, time
sys.path.insert(0, sys.argv[1])
from ua_overlay.system.instance import Instance, myself
one = Instance(sys.argv[2], 'node', 'The overlay node')
one.claim(myself('http://localhost:11310'))
child = subprocess.Popen(['sleep', '600'])
print(child.pid, flush=True)
time.sleep(600)
'''


@pytest.fixture
def first(tmp_path):
    process = subprocess.Popen([sys.executable, '-c', CLAIMER, os.path.join(ROOT, 'src'), str(tmp_path)],
                               stdout=subprocess.PIPE)
    process.child = int(process.stdout.readline())
    yield process
    process.kill()
    process.wait()
    process.stdout.close()
    os.kill(process.child, signal.SIGKILL)


def claim(tmp_path):
    one = Instance(str(tmp_path), 'node', 'The overlay node')
    one.claim(myself())
    return one


def test_the_second_one_hears_who_the_first_is_and_changes_nothing(tmp_path, first):
    before = (tmp_path / 'node.json').read_bytes()
    with pytest.raises(AlreadyRunning) as caught:
        claim(tmp_path)
    text = str(caught.value)
    assert text.startswith('The overlay node runs already: process {} of '.format(first.pid)) and ' since 20' in text
    assert caught.value.next_command.startswith(('ps -fp {}'.format(first.pid), 'systemctl status '))
    assert (tmp_path / 'node.json').read_bytes() == before
    assert read_holder(str(tmp_path), 'node').graph == 'http://localhost:11310'


def test_a_killed_one_leaves_no_lock_even_where_its_children_live(tmp_path, first):
    first.kill()
    first.wait()
    assert read_holder(str(tmp_path), 'node') is None
    one = claim(tmp_path)
    assert read_holder(str(tmp_path), 'node').pid == os.getpid()
    one.release()
    assert sorted(os.listdir(str(tmp_path))) == ['node.lock']
    claim(tmp_path).release()


def test_a_recycled_process_id_is_somebody_else(tmp_path):
    one = claim(tmp_path)
    record = json.loads((tmp_path / 'node.json').read_text())
    (tmp_path / 'node.json').write_text(json.dumps(dict(record, start=record['start'] + 1)))
    assert read_holder(str(tmp_path), 'node') is None
    one.release()


@pytest.mark.parametrize('text', [
    '', '[]', '{}', '{"pid": 1}', '\x00', '[' * 100000, '{"pid": 1e999}',
    json.dumps(dict(pid=0, start=1, since=0, user='', unit='', launcher='', graph='')),
    json.dumps(dict(pid=True, start=1, since=0, user='', unit='', launcher='', graph='')),
    json.dumps(dict(pid=1, start=1, since=1e300, user='', unit='', launcher='', graph='')),
    json.dumps(dict(pid=1, start=1, since=0, user=3, unit='', launcher='', graph=''))])
def test_a_damaged_record_names_nobody(tmp_path, text):
    (tmp_path / 'node.json').write_text(text)
    assert read_holder(str(tmp_path), 'node') is None


def test_odd_files_block_nobody(tmp_path):
    os.mkfifo(str(tmp_path / 'node.json'))
    assert read_holder(str(tmp_path), 'node') is None
    os.symlink('/etc/hostname', str(tmp_path / 'node.lock'))
    with pytest.raises(OSError):
        claim(tmp_path)
    assert read_holder(str(tmp_path / 'none'), 'node') is None


def test_a_record_is_read_back_and_printed_safely():
    holder = replace(myself('http://localhost:1'), launcher='roslaunch \x1b[2J', user='robot', since=0.0, unit='')
    read = parse_holder(json.dumps(holder.__dict__))
    assert read.launcher == 'roslaunch \\x1b[2J' and read.alive
    assert read.describe().endswith('started by `roslaunch \\x1b[2J`')
    assert 'from' not in Holder(1, 1, user='x', unit='a.service', launcher='y').describe()
    assert Holder(1, 1, unit='a.service').describe().endswith(', started by a.service')


def test_the_launcher_is_named_without_its_interpreter(tmp_path):
    (tmp_path / 'roslaunch').write_text('import subprocess, sys\nsubprocess.run([sys.executable] + sys.argv[3:])\n')
    script = 'import sys; sys.path.insert(0, {!r}); from ua_overlay.system import instance; print(instance.launcher())'
    done = subprocess.run([sys.executable, str(tmp_path / 'roslaunch'), 'ua_overlay', 'overlay.launch', '-c',
                           script.format(os.path.join(ROOT, 'src'))], stdout=subprocess.PIPE, check=True)
    assert done.stdout.decode().startswith("('roslaunch', 'ua_overlay', 'overlay.launch', ")


NAMED = '''
import sys, time
sys.path.insert(0, sys.argv[1])
from ua_overlay.system.instance import claim_name
kept = claim_name(sys.argv[2], 'The agent')
print('kept', flush=True)
time.sleep(600)
'''


@pytest.fixture
def named():
    """A process that has a name: (process, name)."""
    name = 'test-{}'.format(os.getpid())
    process = subprocess.Popen([sys.executable, '-c', NAMED, os.path.join(ROOT, 'src'), name], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b'kept\n'
    yield process, name
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.mark.fault('K6', 'A second `ua-overlay robot agent` is started, for another user',
                   behaviour='it says who runs and ends', reported='at once', recovery='does not apply', lost='nothing')
def test_a_name_without_a_file(named):
    process, name = named
    with pytest.raises(AlreadyRunning) as caught:
        instance.claim_name(name, 'The agent')
    assert 'The agent runs already: process {} of '.format(process.pid) in caught.value.sentence
    since = time.mktime(time.strptime(re.search(' since ([-0-9]+ [:0-9]+)', caught.value.sentence).group(1),
                                      '%Y-%m-%d %H:%M:%S'))
    assert abs(time.time() - since) < 60
    process.kill()
    process.wait()
    instance.claim_name(name, 'The agent').close()


def test_a_name_of_another_user_stops_nobody(named, monkeypatch):
    monkeypatch.setattr(os, 'geteuid', lambda: 4711)
    assert instance.claim_name(named[1], 'The agent') is None


def test_a_unit_of_systemd(tmp_path, monkeypatch):
    assert instance._unit() == '' or instance._unit().endswith('.service')
    assert time.time() - myself().since < 60


@pytest.mark.skipif(os.geteuid() != 0, reason='Only root starts a process of another user.')
def test_a_holder_whose_user_has_no_name_is_named_by_the_number():
    """As in a container."""
    process = subprocess.Popen(['sleep', '600'], preexec_fn=lambda: os.setuid(3999999))
    try:
        assert instance.holder_of(process.pid).user == '3999999'
    finally:
        process.kill()
        process.wait()
