"""The nodes' tests take the generated messages from the built workspace; everything else comes from this checkout."""
import os

from paths import WORKSPACE

import ua_overlay

ua_overlay.__path__.append(os.path.join(WORKSPACE, 'install', 'lib', 'python3', 'dist-packages', 'ua_overlay'))
