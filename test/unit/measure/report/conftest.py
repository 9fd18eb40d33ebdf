"""Libraries that a report needs and a robot does not have: without them these tests are skipped."""
import pytest

_WHY = 'no {}: pip install -r requirements/analysis.txt'


@pytest.fixture(scope='session')
def matplotlib():
    return pytest.importorskip('matplotlib', reason=_WHY.format('matplotlib'))


@pytest.fixture(scope='session')
def fpdf(matplotlib):
    return pytest.importorskip('fpdf', reason=_WHY.format('fpdf2'))
