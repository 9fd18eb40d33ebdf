"""Used by catkin (catkin_python_setup); not for pip."""
from catkin_pkg.python_setup import generate_distutils_setup
from setuptools import find_packages, setup

# `scripts` puts ua-overlay on the PATH of a sourced devel space, which catkin_install_python does not.
setup(**generate_distutils_setup(
    packages=find_packages('src'), package_dir={'': 'src'}, scripts=['scripts/ua-overlay']))
