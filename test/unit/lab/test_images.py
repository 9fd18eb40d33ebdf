"""Base systems and layers: their names, the mirror they come from, and which layers are removed."""
import collections
import os

from ua_overlay.lab import images


def test_the_mirror_is_that_of_this_machine():
    text = 'Somebody stable https://other.test/\nDebian bookworm-updates http://a.test/u/\nDebian bookworm http://a.test/d/'
    assert images.parse_mirror(text) == 'http://a.test/d/'
    assert images.parse_mirror('Ubuntu focal http://a.test/ubuntu/\n') is None


def test_no_mirror_when_apt_fails():
    done = collections.namedtuple('Done', 'returncode stdout')
    assert images.host_mirror(run=lambda *_, **__: done(100, 'Debian bookworm http://a.test/')) is None


def test_another_package_is_another_image():
    first, second = images.Image('bullseye', ('a', 'b')), images.Image('bullseye', ('b', 'a'))
    assert first.directory('/c') == second.directory('/c') != images.Image('bullseye', ('a',)).directory('/c')
    assert first.directory('/c').startswith('/c/machines/bullseye-')


def test_another_script_file_or_base_system_is_another_layer(tmp_path):
    def directory(content, script='true', image=images.ROBOT):
        (tmp_path / 'file').write_text(content)
        return images.Layer(image, script, (('file', str(tmp_path / 'file')),)).directory('/c')

    same = directory('a')
    assert same == directory('a') and same.startswith('/c/machines/layer-')
    assert len({same, directory('b'), directory('a', 'false'), directory('a', image=images.SERVER)}) == 4


def test_a_layer_unused_for_a_day_is_removed(tmp_path):
    for name, used in (('layer-old', 0), ('layer-new', 90000), ('bullseye-1', 0)):
        (tmp_path / name).mkdir()
        os.utime(str(tmp_path / name), (used, used))
    (tmp_path / 'layer-old.lock').write_text('')
    assert images.unused_layers(str(tmp_path), 100000) == [str(tmp_path / 'layer-old')]
