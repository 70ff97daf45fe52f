"""What survives: SQLModel tables, one writing connection, the outbox, migrations, readers.

`SqliteStore` (sqlite.py) implements ports.Store and ports.Outbox; `MemoryStore` (memory.py) is its
forgetful twin; `Reader` (read.py) lists what is stored, from any process, while the daemon runs.
tables.py says what the tables are; a start imports it not (see migrations).
"""
