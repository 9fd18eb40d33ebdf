"""A report as CSV."""
import csv
import io

import pytest

from ua_overlay.measure.report import csv as report_csv
from ua_overlay.measure.report.data import Data
from unit.measure import samples as measure_samples
from unit.measure.samples import data_of, tcp


@pytest.fixture(scope='module')
def data():
    return Data(measure_samples.samples(repetitions=4, seconds=3), measure_samples.campaign())


def test_exported_tables(data):
    rows = list(csv.DictReader(io.StringIO(report_csv.samples(data))))
    assert {row['status'] for row in rows if row['value'] == ''} == {'excluded', 'failed'}
    assert len({row['id'] for row in rows}) == len(data.samples)
    summary = list(csv.DictReader(io.StringIO(report_csv.summary(data))))
    direct, = [row for row in summary if (row['metric'], row['place'], row['link']) == ('rtt', 'lab', 'DIRECT')]
    assert float(direct['change']) == pytest.approx(0.4, abs=0.2)
    assert float(direct['low95']) <= float(direct['median']) <= float(direct['high95'])


def test_no_cell_is_a_formula():
    result = data_of([tcp('raw', 1, 9e7), tcp('raw', 2, 0, status='failed', problem='=HYPERLINK("x")')])
    assert "'=HYPERLINK" in report_csv.samples(result)
