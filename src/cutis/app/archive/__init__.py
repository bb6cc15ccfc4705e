"""Cases saved on a disk: tables, photos beside them, and who did what."""
