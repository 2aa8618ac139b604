"""The `needles` command."""
