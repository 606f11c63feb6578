"What the RMIS tests share: a harmonizer that knows what was requested."
import pytest
from rmn_lora.rmis.harmonize import DataHarmonizer
from rmn_lora.rmis.world import REQUESTED


@pytest.fixture
def harmonizer(): return DataHarmonizer(given=REQUESTED)
