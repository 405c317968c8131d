"""A storage in a PostgreSQL database, for the workers of many machines."""

from honed.storage.postgres.storage import PostgresStorage

__all__ = ["PostgresStorage"]
