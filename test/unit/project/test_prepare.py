"""dev/prepare.sh beside a ROS of one's own, and the version of CMake that the package asks for."""
import os
import re
import subprocess

import pytest
from paths import ROOT

PREPARE = os.path.join(ROOT, 'dev', 'prepare.sh')


def packages(ros):
    done = subprocess.run(['bash', PREPARE, '--list-packages'], stdout=subprocess.PIPE, universal_newlines=True,
                          check=True, env=dict(os.environ, UA_OVERLAY_ROS_SETUP=ros))
    return done.stdout.split()


@pytest.mark.fault('case 20', 'ROS is below /opt/ros (ROS One on Ubuntu 22.04 and 24.04), or built from source',
                   behaviour='No ROS package and no catkin of the distribution is installed beside it', reported='-',
                   recovery='-', lost='nothing')
def test_nothing_of_the_distribution_s_ros_is_installed_beside_another(tmp_path):
    setup = tmp_path / 'setup.bash'
    beside = packages('{} {}'.format(tmp_path / 'none', setup))
    assert {'catkin', 'ros-base', 'libroscpp-dev', 'nftables'} <= set(beside)
    setup.write_text('')
    beside = packages('{} {}'.format(tmp_path / 'none', setup))
    assert not [name for name in beside if re.search(r'ros|catkin|msgs|actionlib|tf2|message', name)]
    assert {'nftables', 'python3-netifaces', 'python3-setuptools', 'build-essential', 'pkg-config'} <= set(beside)


@pytest.mark.fault('case 20', 'CMake 4', behaviour='It accepts the package, as CMake 3.0.2 does',
                   reported='-', recovery='-', lost='nothing')
def test_the_package_accepts_every_cmake():
    """CMake 4 refuses `cmake_minimum_required(VERSION X)` below 3.5, and `X...Y` if Y is (its manual)."""
    with open(os.path.join(ROOT, 'CMakeLists.txt'), encoding='utf-8') as stream:
        asked = re.search(r'^cmake_minimum_required\(VERSION (\d+\.\d+\.\d+)\.\.\.(\d+)\.(\d+)\)$', stream.read(), re.M)
    assert asked and asked.group(1) == '3.0.2'  # catkin's own, in Noetic
    # 3.27 removes FindPythonInterp for who asks for it (CMP0148), which catkin calls.
    assert (3, 5) <= (int(asked.group(2)), int(asked.group(3))) < (3, 27)
