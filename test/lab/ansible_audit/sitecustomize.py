"""Looks at every file that a Python program removes: a key in one of them has been on a disk. Loaded by PYTHONPATH."""
import os
import sys

REPORT = os.environ.get('UA_AUDIT_REPORT')
SECRET = b'hskey-'


def look(event, arguments):
    if event != 'os.remove':
        return
    path, folder = arguments
    try:
        handle = os.open(path, os.O_RDONLY, dir_fd=None if folder == -1 else folder)
    except OSError:
        return
    with open(handle, 'rb') as stream:
        try:
            found = SECRET in stream.read()
        except OSError:
            return
    if found:
        with open(REPORT, 'a') as report:
            report.write('{} was removed, and had held a key\n'.format(path))


if REPORT:
    sys.addaudithook(look)
