"""Many studies in one run: found, handed to workers, kept in a ledger, shown in a table. See docs/batch.md."""
