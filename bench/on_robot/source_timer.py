"""On a robot: measure the time and the CPU time of an interactive shell that sources the workspace.

Requests, a JSON object a line: {"shell": name, "script": text, "argument": $1}. Answers: {"seconds", "cpu", "ok"}.
"""
import json
import os
import subprocess
import sys
import time

KEPT = {name: os.environ[name] for name in ('PATH', 'HOME', 'LANG') if name in os.environ}
print(json.dumps({'answer': 'ready'}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    began = time.monotonic()
    argv = [request['shell'], '-i', '-c', request['script'], request['shell'], request['argument']]
    process = subprocess.Popen(argv, env=KEPT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    _pid, status, usage = os.wait4(process.pid, 0)
    print(json.dumps({'seconds': time.monotonic() - began, 'cpu': usage.ru_utime + usage.ru_stime,
                      'ok': status == 0}), flush=True)
    process.returncode = status
