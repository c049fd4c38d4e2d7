"""Tables, connections and migrations: SQL and nothing clever."""

from hub.storage.database import Database, insert_new, is_conflict, take_your_time
from hub.storage.lookup import Lookup
from hub.storage.many import Many

__all__ = ["Database", "Lookup", "Many", "insert_new", "is_conflict", "take_your_time"]
