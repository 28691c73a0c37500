from __future__ import annotations

import pytest

from tests.preprocess.download.web import Web


@pytest.fixture
def web(tmp_path):
    started = Web(tmp_path)
    yield started
    started.stop()
