"""What the keeper reports, in one word and one sentence."""
from dataclasses import replace

from ua_overlay.rosenv.environment import MASTER_OFFLINE, OK, RosEnvironment
from ua_overlay.rosenv.report import NO_ROSCORE, NOT_WRITTEN, OFF, Report

HERE = RosEnvironment(master_uri='http://dev-1.overlay.internal:11312', master='dev-1', team='iris', state=OK,
                      why='Well.')


def test_the_state_follows_the_environment():
    assert (Report(HERE).state, Report(HERE).why) == (OK, 'Well.')
    assert Report().runner.state == OFF


def test_a_long_silent_master_is_a_separate_state():
    report = Report(HERE, silent=True)
    assert report.state == NO_ROSCORE
    assert report.why == ('The master of team iris, dev-1, is online, but no roscore answers at '
                          'http://dev-1.overlay.internal:11312.')
    assert Report(HERE, silent=True, roscore='It ended.').why == 'It ended.'


def test_an_offline_master_is_expected_to_be_silent():
    assert Report(RosEnvironment(state=MASTER_OFFLINE, why='Away.'), silent=True).why == 'Away.'


def test_a_problem_of_the_keeper_comes_first():
    assert Report(HERE, silent=True, problem='Not written.').why == 'Not written.'


def test_an_environment_that_could_not_be_written_is_not_ok():
    usable = replace(HERE, usable=True)
    assert Report(usable, problem='The file system /run is full.').state == NOT_WRITTEN
    assert Report(replace(usable, state=MASTER_OFFLINE), problem='Full.', silent=True).state == NOT_WRITTEN
    # The preferences alone: shells have their environment.
    assert Report(usable, {'ROS_MASTER_URI': 'x'}, '/run/ua_overlay/env', problem='Full.').state == OK
    # Nothing should be there.
    assert Report(RosEnvironment(), problem='Full.').state == 'NO_OVERLAY'
