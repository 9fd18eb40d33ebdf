"""Runs `ansible-playbook` again and again, each time in a fork of a process that has loaded Ansible.

Python of Ansible's environment runs this file. Loading Ansible takes as long as refusing an inventory, and the tests do
that often. Standard input: one JSON object per line with `argv` and the path `output`; the answer is the status.
"""
import json
import os
import sys

import ansible.plugins.strategy.linear  # noqa: F401 loaded before the forks
from ansible.cli.playbook import PlaybookCLI

from ansible import constants


def run(argv, output):
    """Become `ansible-playbook`."""
    for source, target in ((os.open(os.devnull, os.O_RDONLY), 0), (os.open(output, os.O_WRONLY | os.O_CREAT, 0o600), 1),
                           (1, 2)):
        os.dup2(source, target)
    # The first run that ended has removed it.
    os.makedirs(constants.DEFAULT_LOCAL_TMP, 0o700, exist_ok=True)
    PlaybookCLI.cli_executor(argv)


for line in sys.stdin:
    request = json.loads(line)
    child = os.fork()
    if child == 0:
        run(request['argv'], request['output'])
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
