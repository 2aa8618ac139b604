"""Needles for others to read: a printed page, planning systems, PACS."""
