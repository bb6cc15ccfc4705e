"""Photos for the page: some of each diagnosis, and what augmentation makes of them."""

import io
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from cutis import html
from cutis.evaluation.mistakes import picture
from cutis.evaluation.names import display_name
from cutis.recipes import Recipe, parse_recipe
from cutis.recipes.schema import Augmentation
from cutis.records import Part
from cutis.studies.comparison.judging import Judged
from cutis.training.augment import augment_batch

_OF_DIAGNOSIS = 4  # photos in the sample; half as many of more than 12 diagnoses
_PREVIEWED = 8  # photos
_SIDE = 112  # pixels of a previewed photo


def sample(judged: Judged) -> Markup:
    """Training photos of each diagnosis, drawn at random; the same call draws the same."""
    rows, catalog = judged.opened.scene.rows[Part.TRAIN], judged.opened.scene.catalog
    groups = rows.groupby("diagnosis", sort=True)
    count = _OF_DIAGNOSIS if len(groups) <= 12 else _OF_DIAGNOSIS // 2
    tiles = []
    for diagnosis, photos in groups:
        for _, photo in photos.sample(min(count, len(photos)), random_state=0).iterrows():
            name = display_name(str(diagnosis))
            image = picture(catalog.locate(str(photo["path"])), f"{name}, {photo['image_id']}")
            tiles.append(html.element("div", image, html.element("div", name), class_="tile"))
    return html.element("div", *tiles, class_="tiles")


def previews(judged: Sequence[Judged]) -> list[tuple[bytes, str]]:
    """A JPEG of each different augmentation with a caption: photos above, what training saw below.

    Stages with the same settings share a picture; one that does not augment has no lower row.
    """
    found: dict[tuple[str, str], tuple[Judged, Augmentation, list[str]]] = {}
    for one in _first_of_arms(judged):
        recipe = parse_recipe(one.record.recipe_text, where=one.record.run)
        for number, stage in enumerate(recipe.stage, start=1):
            key = (stage.augmentation.model_dump_json(), recipe.input.model_dump_json())
            names = found.setdefault(key, (one, stage.augmentation, []))[2]
            names.append(f"{one.record.arm}, {_stage_name(recipe, number)}")
    return [
        (_sheet(one, augmentation), f"{'; '.join(names)}: {_settings(augmentation)}.")
        for one, augmentation, names in found.values()
    ]


def _first_of_arms(judged: Sequence[Judged]) -> list[Judged]:
    return list({one.record.arm: one for one in reversed(judged)}.values())[::-1]


def _stage_name(recipe: Recipe, number: int) -> str:
    name = recipe.stage[number - 1].name
    return f"stage {number} ({name})" if name else f"stage {number}"


def _settings(augmentation: Augmentation) -> str:
    """The keys that differ from no augmentation, e.g. flip both, rotation 20."""
    plain = Augmentation()
    used = [
        f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in augmentation
        if value != getattr(plain, key)
    ]
    return ", ".join(used) or "no augmentation, the photos as the network reads them"


def _sheet(judged: Judged, augmentation: Augmentation) -> bytes:
    """Photos beside each other, the augmented ones below."""
    rng = np.random.default_rng(0)
    pixels = judged.train_pixels
    chosen = np.sort(rng.choice(len(pixels), min(_PREVIEWED, len(pixels)), replace=False))
    photos = np.asarray(pixels[chosen])
    rows = [photos]
    if augmentation != Augmentation():
        rows.append(augment_batch(photos, augmentation, rng))
    sheet = np.concatenate([_beside(row) for row in rows])
    written = io.BytesIO()
    Image.fromarray(sheet).save(written, "JPEG", quality=85)
    return written.getvalue()


def _beside(photos: NDArray[np.uint8]) -> NDArray[np.uint8]:
    small = [np.asarray(Image.fromarray(_seen(photo)).resize((_SIDE, _SIDE))) for photo in photos]
    return np.concatenate(small, axis=1)


def _seen(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """RGB of a photo (size, size, 3 or 4); what a fourth channel calls skin is dimmed."""
    rgb, lesion = photo[..., :3], photo[..., 3:]
    return rgb if lesion.size == 0 else np.where(lesion < 128, rgb // 2, rgb)
