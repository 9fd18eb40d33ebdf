"""Find the package's data files in a checkout, a devel space or an install space."""
import os
from typing import Callable

from ua_overlay.errors import OverlayError


def share_dir(module_file: str = __file__, exists: Callable[[str], bool] = os.path.exists) -> str:
    """Return the directory that holds package.xml, launch/, config/ and toolchain/.

    A checkout and a devel space import this file from ``<root>/src/ua_overlay``; an install space has it in
    ``<prefix>/lib/python3*/…-packages/ua_overlay`` and the data in ``<prefix>/share/ua_overlay``.

    :raises OverlayError: neither directory exists.
    """
    package = os.path.dirname(os.path.realpath(module_file))
    checkout = os.path.dirname(os.path.dirname(package))
    prefix = os.path.dirname(os.path.dirname(checkout))
    for candidate in (checkout, os.path.join(prefix, 'share', 'ua_overlay')):
        if exists(os.path.join(candidate, 'package.xml')):
            return candidate
    raise OverlayError(
        'The data files of ua_overlay are in neither {} nor {}: the installation is incomplete.'.format(
            checkout, os.path.join(prefix, 'share', 'ua_overlay')),
        'catkin_make install')


def share_path(*parts: str) -> str:
    """Return the path of a data file: ``share_path('config', 'lab', 'two_nats.yaml')``."""
    return os.path.join(share_dir(), *parts)
