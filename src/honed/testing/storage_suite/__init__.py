"""The contract of ``honed.storage.base.Storage`` as tests that any storage can run.

Inherit the suite in a test module and say how your storage is opened::

    class TestMine(StorageSuite):
        @pytest.fixture
        def opener(self, tmp_path):
            return lambda clock: MyStorage(tmp_path / "data", clock=clock)

Every call of the opener gives another owner of the same data, as another worker would be. Time is simulated.
"""

import pytest

for part in ("adding", "holding", "studies", "tools"):  # so that failures show both sides
    pytest.register_assert_rewrite(f"{__name__}.{part}")

from honed.testing.storage_suite.adding import AddTests  # noqa: E402
from honed.testing.storage_suite.holding import HoldTests  # noqa: E402
from honed.testing.storage_suite.studies import StudyTests  # noqa: E402
from honed.testing.storage_suite.tools import ManualClock, Opener  # noqa: E402

__all__ = ["ManualClock", "Opener", "StorageSuite"]


class StorageSuite(StudyTests, AddTests, HoldTests):
    """Inherit it and define the fixture ``opener``."""
