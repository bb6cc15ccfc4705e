"""The limits of the app: what one person may send, and what all of them together may take."""

from dataclasses import dataclass, field

from cutis.errors import InputError
from cutis.runtime.network import available_cores

MEGA = 1_000_000
"""Bytes of a megabyte, pixels of a megapixel."""

MAX_PHOTOS = 3
"""Of one case."""

_FIELDS_BYTES = 64_000  # of all that is no photo in a form, the parts' headers included


@dataclass(frozen=True)
class Settings:
    """The limits; the defaults suit a laptop with two cores and some phones around it.

    Attributes:
        host: the address that the server listens on; other names are refused.
        workers: cases judged at a time.
        queue: cases that may wait for a worker; more are answered with 503.
        uploads_mb: of all uploads that are on their way or wait, together.
        upload_s: seconds in which an upload must have arrived.
        stall_s: seconds that an upload may stand still before it is given up.
        capacity: cases kept; the oldest is dropped for a new one.
        memory_mb: of the photos and layers of all cases; the oldest are dropped above it.
        lifetime_s: seconds after its last use in which a case is dropped.
    """

    host: str = "127.0.0.1"
    max_upload_mb: int = 20
    max_megapixels: int = 40
    workers: int = field(default_factory=available_cores)
    queue: int = 64
    uploads_mb: int = 256
    upload_s: float = 120
    stall_s: float = 15
    capacity: int = 200
    memory_mb: int = 256
    lifetime_s: float = 1800

    def __post_init__(self) -> None:
        """Raises InputError for a limit that nothing could meet."""
        for name in vars(self):
            value = getattr(self, name)
            if not isinstance(value, str) and value < (0 if name == "queue" else 1):
                raise InputError(f"{name} = {value} leaves the app no room", expected="1 or more")
        if self.uploads_mb * MEGA < self.form_bytes:
            raise InputError(
                f"uploads_mb = {self.uploads_mb} is less than one case may take",
                expected=f"{-(-self.form_bytes // MEGA)} or more",
            )

    @property
    def photo_bytes(self) -> int:
        """Most bytes of one photo's file."""
        return self.max_upload_mb * MEGA

    @property
    def form_bytes(self) -> int:
        """Most bytes of a form with photos."""
        return MAX_PHOTOS * self.photo_bytes + _FIELDS_BYTES

    @property
    def body_bytes(self) -> int:
        """Most bytes of every other request."""
        return _FIELDS_BYTES
