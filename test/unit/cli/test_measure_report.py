"""`ua-overlay measure report`: its libraries, output and errors. The report itself: test/unit/measure/report."""
import json
import os
import subprocess
import sys

from paths import SOURCE

from ua_overlay.cli import main
from unit.measure import samples as measure_samples


def test_tables_as_text(tmp_path, capsys):
    results = measure_samples.write(tmp_path / 'results', measure_samples.samples(1, 2))
    assert main(['measure', 'report', str(results), '--format', 'csv', '--output', str(tmp_path / 'out')]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [os.path.basename(line) for line in lines[:-1]] == ['samples.csv', 'summary.csv']
    assert lines[-1].endswith(' samples are used, 2 are left out.')
    assert sorted(os.listdir(str(tmp_path / 'out'))) == ['samples.csv', 'summary.csv']


def test_csv_requires_no_library(tmp_path):
    """A robot can write the tables; for figures the error names the libraries to install."""
    results = measure_samples.write(tmp_path / 'results', measure_samples.samples(1, 2))
    code = 'import sys\nfor name in ("matplotlib", "numpy", "fpdf"): sys.modules[name] = None\n' \
           'sys.path.insert(0, {!r})\nfrom ua_overlay.cli import main\nsys.exit(main(sys.argv[1:]))\n'.format(SOURCE)
    argv = [sys.executable, '-c', code, 'measure', 'report', str(results)]
    done = subprocess.run(argv + ['--format', 'csv', '--json'], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr.decode()
    answer = json.loads(done.stdout.decode())
    assert answer['left_out'] == 2
    assert [os.path.basename(path) for path in answer['files']] == ['samples.csv', 'summary.csv']
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 1 and b'pip install -r requirements/analysis.txt' in done.stderr


def test_a_place_without_samples(tmp_path, capsys):
    results = measure_samples.write(tmp_path / 'results', measure_samples.samples(1, 2))
    assert main(['measure', 'report', str(results), '--place', 'moon']) == 1
    error = capsys.readouterr().err
    assert 'no sample at moon; it has some at bar, lab, library' in error and 'ua-overlay measure report' in error
    assert not os.path.exists(str(results / 'report'))
