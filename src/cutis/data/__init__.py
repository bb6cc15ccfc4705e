"""From photos on disk to catalogs, splits, audits and drawn collections."""
