"""Tables, connections and migrations: SQL and nothing clever."""

from hub.storage.database import Database, insert_new
from hub.storage.many import Many

__all__ = ["Database", "Many", "insert_new"]
