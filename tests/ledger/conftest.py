"""The shop, on both databases."""

import pytest
from shop import Shop


@pytest.fixture
def shop(database):
    return Shop(database)
