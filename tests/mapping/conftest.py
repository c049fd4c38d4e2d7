"""The roastery's mapping, loaded once."""

import pytest
from roastery import MAPPING, Roastery

from hub.mapping import loads


@pytest.fixture(scope="session")
def mapping():
    return loads(MAPPING.encode(), "roastery.yaml", Roastery)
