"""Copies of photographs: equal bytes, equal pixels, and the same photograph changed in some way."""

from cutis.data.duplicates.fingerprints import FINGERPRINT, fingerprint
from cutis.data.duplicates.links import find_links

__all__ = ["FINGERPRINT", "find_links", "fingerprint"]
