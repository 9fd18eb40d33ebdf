"""Where the data files are."""
import os

import pytest

from ua_overlay.errors import OverlayError
from ua_overlay.resources import share_dir, share_path


def place(root, *names):
    for name in names:
        path = root.joinpath(*name.split('/'))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('')


def test_a_checkout(tmp_path):
    place(tmp_path, 'package.xml', 'src/ua_overlay/resources.py')
    assert share_dir(str(tmp_path / 'src/ua_overlay/resources.py')) == str(tmp_path)


@pytest.mark.parametrize('packages', ['lib/python3/dist-packages', 'lib/python3.8/site-packages'])
def test_an_install_space(tmp_path, packages):
    place(tmp_path, 'share/ua_overlay/package.xml', packages + '/ua_overlay/resources.py')
    assert share_dir(str(tmp_path / packages / 'ua_overlay/resources.py')) == str(tmp_path / 'share/ua_overlay')


def test_a_link_to_the_checkout_is_followed(tmp_path):
    place(tmp_path, 'real/package.xml', 'real/src/ua_overlay/resources.py')
    (tmp_path / 'link').symlink_to(tmp_path / 'real/src/ua_overlay')
    assert share_dir(str(tmp_path / 'link/resources.py')) == str(tmp_path / 'real')


def test_no_data_directory(tmp_path):
    with pytest.raises(OverlayError) as caught:
        share_dir(str(tmp_path / 'a/b/c/d/e.py'))
    assert str(tmp_path) in caught.value.sentence and caught.value.next_command


def test_required_files_exist():
    for name in ('launch/overlay.launch', 'config/lab/two_nats.yaml', 'toolchain/tailscale/go.mod',
                 'toolchain/headscale/go.mod'):
        assert os.path.isfile(share_path(*name.split('/'))), name
