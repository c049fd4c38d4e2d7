"""Tables, connections and migrations: SQL and nothing clever."""

from hub.storage.database import Database, insert_new

__all__ = ["Database", "insert_new"]
