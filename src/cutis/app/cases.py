"""Cases in memory: nothing of them is ever written to a disk."""

import re
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pydantic import Field

from cutis.app.settings import MEGA
from cutis.metrics.answer_policy import Verdict
from cutis.records import Record
from cutis.runtime import PhotoAnswer
from cutis.taxonomy import Urgency

SEXES = ("female", "male")
SITES = (
    "scalp",
    "face",
    "eyelid",
    "ear",
    "nose",
    "lip",
    "neck",
    "chest",
    "abdomen",
    "back",
    "trunk",
    "armpit",
    "groin",
    "genital",
    "buttock",
    "upper_extremity",
    "hand",
    "lower_extremity",
    "foot",
    "acral",
    "nail",
    "other",
)
SYMPTOMS = ("itch", "bleeding", "pain", "growth", "colour_change", "new", "long_standing")
OLDEST = 130
"""Years."""
LONGEST_NOTE = 2000
"""Characters."""

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LAYERS = 12  # kept of one case: outlines and measures of three photos, and some heat maps


class CaseFacts(Record):
    """What a person says beside the photos: for the clinician, never for the model."""

    age: int | None = Field(None, ge=0, le=OLDEST)  # years
    sex: str | None = None  # of SEXES
    site: str | None = None  # of SITES
    symptoms: tuple[str, ...] = ()  # of SYMPTOMS, each once
    note: str | None = Field(None, max_length=LONGEST_NOTE)


class Judgement(Record):
    """What the model says of a case's photos together."""

    photos: tuple[PhotoAnswer, ...]  # of each photo alone, in the case's order
    probabilities: dict[str, float]  # pooled, by diagnosis, most probable first
    prediction_set: tuple[str, ...] = ()  # the possible diagnoses, most probable first
    verdict: Verdict | None = None  # None: the bundle holds no policy
    reasons: tuple[str, ...] = ()  # of the verdict, keys of REASON_TEXTS
    malignant_possible: bool = False  # one of the set is not known to be benign
    urgency: Urgency | None = None  # how soon a doctor should see it; None: not settled
    urgent: bool = False  # a malignant or precancerous diagnosis is in the set
    alarming: tuple[str, ...] = ()  # reported symptoms that make it urgent, of ALARMING
    left_out: tuple[int, ...] = ()  # photos, from 1, that do not count among the pooled ones


@dataclass(frozen=True)
class Photo:
    """A photo as it is kept: pixels alone, without anything that the camera wrote beside them."""

    preview: bytes  # a JPEG
    width: int  # of the preview, pixels
    height: int


@dataclass(frozen=True)
class Case:
    """One to three photos of a lesion with what was said of them; `id` opens it, so it is secret.

    128 random bits cannot be guessed, which is all that keeps a case from others on the network.
    """

    photos: tuple[Photo, ...]
    facts: CaseFacts
    judgement: Judgement
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    created: datetime = field(default_factory=lambda: datetime.now(UTC))


def is_case_id(text: str) -> bool:
    """Whether a case may have this id; databases do not take whatever an address can hold."""
    return _ID.fullmatch(text) is not None


@dataclass
class _Kept:
    case: Case
    used: float
    layers: OrderedDict[Hashable, bytes] = field(default_factory=OrderedDict)

    @property
    def size(self) -> int:
        photos = sum(len(photo.preview) for photo in self.case.photos)
        return photos + sum(map(len, self.layers.values()))


class CaseStore:
    """The cases of all people, bounded in number, bytes and time; safe among threads.

    Args:
        capacity: cases; the one unused for longest is dropped for a new one.
        lifetime_s: seconds after its last use in which a case is dropped.
        memory_mb: of all previews and layers; above it the oldest cases are dropped too.
        clock: seconds that never go back.

    Attributes:
        on_remove: called with the id of each case that somebody deletes.
    """

    def __init__(
        self,
        capacity: int,
        lifetime_s: float,
        memory_mb: int = 256,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._capacity = capacity
        self._lifetime = lifetime_s
        self._bytes = memory_mb * MEGA
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, _Kept] = OrderedDict()  # longest unused first
        self.on_remove: list[Callable[[str], None]] = []

    def __len__(self) -> int:
        with self._lock:
            self._drop_expired()
            return len(self._kept)

    def add(self, case: Case) -> None:
        """Keeps a new case."""
        with self._lock:
            self._kept[case.id] = _Kept(case, self._clock())
            self._make_room()

    def get(self, case_id: str) -> Case | None:
        """A case, whose time begins anew; None where there is none, or no longer."""
        with self._lock:
            kept = self._use(case_id)
            return None if kept is None else kept.case

    def replace(self, old: Case, new: Case) -> bool:
        """Puts a case in the place of an older state of it; False where that is gone."""
        with self._lock:
            kept = self._use(old.id)
            if kept is None or kept.case is not old:
                return False
            kept.case = new
            kept.layers.clear()
            self._make_room()
            return True

    def remove(self, case_id: str) -> bool:
        """Forgets a case; False where there was none."""
        with self._lock:
            self._drop_expired()
            found = self._kept.pop(case_id, None) is not None
        for forget in self.on_remove:
            forget(case_id)
        return found

    def layer(self, case: Case, key: Hashable) -> bytes | None:
        """What `keep_layer` has kept for this state of the case."""
        with self._lock:
            kept = self._use(case.id)
            return kept.layers.get(key) if kept is not None and kept.case is case else None

    def keep_layer(self, case: Case, key: Hashable, layer: bytes) -> None:
        """Keeps something that was computed of a case, if the case is still there."""
        with self._lock:
            kept = self._use(case.id)
            if kept is None or kept.case is not case:
                return
            kept.layers[key] = layer
            while len(kept.layers) > _LAYERS:
                kept.layers.popitem(last=False)
            self._make_room()

    def sweep(self) -> None:
        """Forgets what nobody has used in time."""
        with self._lock:
            self._drop_expired()

    def _use(self, case_id: str) -> _Kept | None:
        self._drop_expired()
        kept = self._kept.get(case_id)
        if kept is not None:
            kept.used = self._clock()
            self._kept.move_to_end(case_id)
        return kept

    def _drop_expired(self) -> None:
        oldest = self._clock() - self._lifetime
        while self._kept and next(iter(self._kept.values())).used <= oldest:
            self._kept.popitem(last=False)

    def _make_room(self) -> None:
        self._drop_expired()
        size = sum(kept.size for kept in self._kept.values())
        while len(self._kept) > 1 and (len(self._kept) > self._capacity or size > self._bytes):
            size -= self._kept.popitem(last=False)[1].size
