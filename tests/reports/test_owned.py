"""What `hub why` says a balance is made of sums to the balance, whatever happened."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from test_ledger_histories import History

from hub.ledger import balances
from hub.why import owned


def test_on_any_history_the_difference_is_nought(database):
    class OnThis(History):
        def teardown(self):
            with self.database.read() as tx:
                for member in self.ids.values() if hasattr(self, "ids") else ():
                    parts = owned(tx, member)
                    for each in balances(tx, member):
                        total = each.active + each.pending + each.held + each.debt
                        assert sum(part.points for part in parts if part.wallet == each.wallet) == total
                    assert all(part.rules for part in parts if part.lot and part.posting.kind == "earn")

    OnThis.database = database
    run_state_machine_as_test(
        OnThis,
        settings=settings(
            max_examples=10, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
