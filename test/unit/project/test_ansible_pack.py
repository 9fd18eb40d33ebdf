"""The archive of a checkout for the playbook: equal files give equal bytes for any user."""
import json
import os
import subprocess
import sys
import tarfile

from paths import ROOT

PACK = os.path.join(ROOT, 'ansible', 'roles', 'ua_overlay', 'files', 'pack.py')


def pack(checkout, directory):
    done = subprocess.run([sys.executable, PACK, str(checkout), str(directory)], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.decode())


def make(checkout):
    for path, text in (('src/ua_overlay/a.py', 'a'), ('src/ua_overlay/__pycache__/a.pyc', 'x'), ('package.xml', '<p/>'),
                       ('scripts/ua-overlay', '#!'), ('test/secret.py', 'no'), ('src/.swp', 'x')):
        place = checkout / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    (checkout / 'scripts/ua-overlay').chmod(0o700)


def test_equal_files_give_equal_bytes(tmp_path):
    for name in ('one', 'two'):
        make(tmp_path / name)
    os.utime(str(tmp_path / 'two' / 'package.xml'), (1, 1))
    (tmp_path / 'two' / 'package.xml').chmod(0o664)
    first, second = pack(tmp_path / 'one', tmp_path / 'x'), pack(tmp_path / 'two', tmp_path / 'y')
    assert first['id'] == second['id'] and len(first['id']) == 12
    with open(first['path'], 'rb') as one, open(second['path'], 'rb') as two:
        assert one.read() == two.read()
    (tmp_path / 'two' / 'src/ua_overlay/a.py').write_text('b')
    assert pack(tmp_path / 'two', tmp_path / 'y')['id'] != first['id']


def test_the_archive_has_only_readable_files_that_a_robot_needs(tmp_path):
    make(tmp_path / 'one')
    with tarfile.open(pack(tmp_path / 'one', tmp_path / 'x')['path']) as tar:
        found = {info.name: (info.mode, info.uname) for info in tar}
    assert found == {'ua_overlay/package.xml': (0o644, 'root'), 'ua_overlay/scripts/ua-overlay': (0o755, 'root'),
                     'ua_overlay/src/ua_overlay/a.py': (0o644, 'root')}
