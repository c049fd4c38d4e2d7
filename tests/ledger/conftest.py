"""The shop, on both databases."""

from __future__ import annotations

import pytest
from shop import Shop


@pytest.fixture
def shop(database):
    return Shop(database)
