"""What the pages and the API do with cases; both are thin covers of this."""

import json
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request

from cutis.app.cases import Case, CaseFacts, CaseStore, Judgement, Photo
from cutis.app.errors import Amount, AppError
from cutis.app.forms import Count, Form, read_facts, read_form
from cutis.app.intake import accept_photo
from cutis.app.overload import Workload
from cutis.app.settings import MAX_PHOTOS, Settings
from cutis.app.urgency import with_symptoms
from cutis.lesion import Mask, Pixels
from cutis.preprocessing import decode
from cutis.runtime import PhotoAnswer, Predictor, Segmenter

CheckForm = Callable[[Form], None]
"""Raises AppError for a form that may not be used."""


class Judge(Protocol):
    """Answers a case's photos, files' bytes, together."""

    def __call__(
        self,
        predictor: Predictor,
        segmenter: Segmenter | None,
        photos: Sequence[bytes],
        *,
        earlier: Sequence[PhotoAnswer] = (),
    ) -> Judgement:
        """`earlier` are the answers to the case's photos whose bytes are no longer kept."""


class Layers(Protocol):
    """What is drawn over a photo, and measured on it, when somebody asks for it."""

    def outline(self, rgb: Pixels, mask: Mask) -> bytes:
        """A transparent PNG of the photo's size."""

    def heat_map(self, predictor: Predictor, rgb: Pixels, diagnosis: str) -> bytes:
        """A transparent PNG of what a diagnosis's probability hangs on."""

    def measures(self, rgb: Pixels, mask: Mask) -> Mapping[str, object]:
        """Measures of the lesion that JSON can hold."""


class CaseService:
    """Cases from a request to their layers. The asynchronous methods raise AppError.

    Attributes:
        predictor: answers.
        segmenter: outlines lesions; None where the bundle holds none.
        settings: the limits.
        store: the cases.
        workload: the threads and the queue before them.
    """

    def __init__(
        self,
        predictor: Predictor,
        segmenter: Segmenter | None,
        settings: Settings,
        judge: Judge,
        layers: Layers,
    ) -> None:
        self.predictor = predictor
        self.segmenter = segmenter
        self.settings = settings
        self.store = CaseStore(settings.capacity, settings.lifetime_s, settings.memory_mb)
        self.workload = Workload(settings)
        self._judge = judge
        self._layers = layers

    async def create(self, request: Request, check: CheckForm | None = None) -> Case:
        """Reads a form with photos and facts, judges it and keeps the case.

        Args:
            check: called with the form before anything is done with it.
        """
        async with self.workload.upload() as count:
            form = await self._read(request, check, count)
            facts = read_facts(form)
            work = partial(self._judged, form.photos, facts)
            async with self.workload.place():
                photos, judgement = await self.workload.run(work)
        case = Case(photos, facts, judgement)
        self.store.add(case)
        return case

    async def add_photos(
        self, case_id: str, request: Request, check: CheckForm | None = None
    ) -> Case:
        """Reads a form with more photos for a case, and judges all of it again."""
        async with self.workload.upload() as count:
            case = self.case(case_id)
            form = await self._read(request, check, count)
            while True:
                if len(case.photos) + len(form.photos) > MAX_PHOTOS:
                    raise AppError("too_many_photos")
                work = partial(self._judged, form.photos, case.facts, case.judgement.photos)
                async with self.workload.place():
                    photos, judgement = await self.workload.run(work)
                grown = replace(case, photos=(*case.photos, *photos), judgement=judgement)
                if self.store.replace(case, grown):
                    return grown
                case = self.case(case_id)  # somebody has added a photo in the meantime

    def case(self, case_id: str) -> Case:
        """The case; AppError `case_not_found` where there is none, or no longer."""
        found = self.store.get(case_id)
        if found is None:
            raise self._no_case()
        return found

    def delete(self, case_id: str) -> None:
        """Forgets the case; AppError where there is none."""
        if not self.store.remove(case_id):
            raise self._no_case()

    def photo(self, case_id: str, number: int) -> Photo:
        """A case's photo, counted from 1."""
        return _photo(self.case(case_id), number)

    async def outline(self, case_id: str, number: int) -> bytes:
        """The lesion's outline on a photo, a transparent PNG of its size."""
        return await self._layer(case_id, number, "outline", self._outlined)

    async def measures(self, case_id: str, number: int) -> bytes:
        """The measures of the lesion on a photo, as JSON."""
        return await self._layer(case_id, number, "measures", self._measured)

    async def heat_map(self, case_id: str, number: int, diagnosis: str | None = None) -> bytes:
        """What a diagnosis hangs on, a transparent PNG; by default of the most probable one."""
        case = self.case(case_id)
        known = self.predictor.model_info.diagnoses
        wanted = diagnosis or next(iter(case.judgement.probabilities), None)
        if wanted is None:  # no photo could be read
            raise AppError("no_layer")
        if wanted not in known:
            raise AppError("field", field="diagnosis")
        draw = partial(self._heated, wanted)
        return await self._layer(case_id, number, f"heat {wanted}", draw)

    async def _read(self, request: Request, check: CheckForm | None, count: Count) -> Form:
        form = await read_form(request, self.settings, count)
        if check is not None:
            check(form)
        if not form.photos:
            raise AppError("no_photo")
        return form

    def _judged(
        self, uploads: Sequence[bytes], facts: CaseFacts, earlier: Sequence[PhotoAnswer] = ()
    ) -> tuple[tuple[Photo, ...], Judgement]:
        """In a thread: the previews of new photos, and the judgement of all."""
        accepted = [accept_photo(data, self.settings) for data in uploads]
        data = [photo.data for photo in accepted]
        more = {"earlier": earlier} if earlier else {}
        judgement = self._judge(self.predictor, self.segmenter, data, **more)
        return tuple(photo.photo for photo in accepted), with_symptoms(judgement, facts.symptoms)

    async def _layer(
        self, case_id: str, number: int, name: str, draw: Callable[[Pixels], bytes]
    ) -> bytes:
        case = self.case(case_id)
        photo = _photo(case, number)
        key: Hashable = (number, name)
        kept = self.store.layer(case, key)
        if kept is None:
            async with self.workload.place():
                kept = await self.workload.run(lambda: draw(decode(photo.preview)))
            self.store.keep_layer(case, key, kept)
        return kept

    def _outlined(self, rgb: Pixels) -> bytes:
        return self._layers.outline(rgb, self._mask(rgb))

    def _measured(self, rgb: Pixels) -> bytes:
        return json.dumps(dict(self._layers.measures(rgb, self._mask(rgb)))).encode()

    def _heated(self, diagnosis: str, rgb: Pixels) -> bytes:
        return self._layers.heat_map(self.predictor, rgb, diagnosis)

    def _mask(self, rgb: NDArray[np.uint8]) -> Mask:
        if self.segmenter is None:
            raise AppError("no_layer")
        return self.segmenter.mask(rgb)

    def _no_case(self) -> AppError:
        minutes = Amount(round(self.settings.lifetime_s / 60), "unit.minutes")
        return AppError("case_not_found", minutes=minutes)


def _photo(case: Case, number: int) -> Photo:
    if not 1 <= number <= len(case.photos):
        raise AppError("photo_not_found")
    if not case.photos[number - 1].preview:  # a saved case whose file is damaged
        raise AppError("photo_damaged")
    return case.photos[number - 1]
