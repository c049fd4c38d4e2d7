"""Reports on the ledger: `REPORTS` names them, `run` counts one for a month, `FORMATS` writes it. Reads only."""

from hub.reports.catalogue import HEALTH, REPORTS, Report, named
from hub.reports.counting import Table, run
from hub.reports.month import Month
from hub.reports.writing import FORMATS

__all__ = ["FORMATS", "HEALTH", "REPORTS", "Month", "Report", "Table", "named", "run"]
