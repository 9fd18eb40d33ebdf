"""Pack the parts of a checkout that a robot or a server needs into a tar file: the same files give the same bytes.

usage: pack.py CHECKOUT DIRECTORY   -> JSON: {"path": …, "id": …}; the id identifies the content
"""
import hashlib
import json
import os
import sys
import tarfile

PARTS = ('CMakeLists.txt', 'LICENSE', 'package.xml', 'setup.py', 'config', 'env-hooks', 'launch', 'msg', 'scripts',
         'src', 'srv', 'toolchain')


def find(root):
    """Return the paths of the parts below ``root``, sorted, without the leftovers of Python and editors."""
    found = []
    for part in PARTS:
        top = os.path.join(root, part)
        if os.path.isfile(top):
            found.append(part)
        for folder, folders, names in os.walk(top):
            folders[:] = sorted(name for name in folders if name != '__pycache__')
            found += [os.path.relpath(os.path.join(folder, name), root) for name in names
                      if not name.endswith(('.pyc', '~')) and not name.startswith('.')]
    return sorted(found)


def neutral(info):
    """Remove what depends on this machine: owner, time, and the umask of the checkout."""
    info.uid = info.gid = info.mtime = 0
    info.uname = info.gname = 'root'
    info.mode = 0o755 if info.mode & 0o100 else 0o644
    return info


def main(root, directory):
    os.makedirs(directory, exist_ok=True)
    draft = os.path.join(directory, '.source.{}'.format(os.getpid()))
    with tarfile.open(draft, 'w', format=tarfile.GNU_FORMAT) as tar:
        for path in find(root):
            tar.add(os.path.join(root, path), 'ua_overlay/' + path, recursive=False, filter=neutral)
    with open(draft, 'rb') as stream:
        digest = hashlib.sha256(stream.read()).hexdigest()[:12]
    target = os.path.join(directory, 'source-{}.tar'.format(digest))
    os.replace(draft, target)
    print(json.dumps({'path': target, 'id': digest}))


if __name__ == '__main__':
    main(*sys.argv[1:])
