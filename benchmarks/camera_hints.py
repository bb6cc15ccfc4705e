"""How often the camera page's hints appear on real photos, as they are and spoilt on purpose.

    python benchmarks/camera_hints.py FOLDER… [--photos 300] [--json FILE]

Runs the functions of the app's own script in Chromium. A hint on a photo as it is counts as false.
The photos are made 800 pixels wide first: collections hold smaller ones than a camera takes.
"""

import argparse
import base64
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from playwright.sync_api import Page, sync_playwright
from tqdm import tqdm

import cutis.app
from cutis.runtime import find_photos

SCRIPT = Path(cutis.app.__file__).parent / "static" / "app.js"
WIDTH = 800
HINTS_OF = """async (source) => {
  const image = new Image();
  image.src = source;
  await image.decode();
  return hintsOf(image);
}"""


def _blurred(share: float) -> Callable[[Image.Image], Image.Image]:
    return lambda photo: photo.filter(ImageFilter.GaussianBlur(share * max(photo.size)))


def _far(photo: Image.Image) -> Image.Image:
    """The photo as a tenth of the width of one that shows much skin around it."""
    around = Image.new("RGB", photo.size, tuple(int(v) for v in np.median(photo, axis=(0, 1))))
    small = photo.resize((photo.width // 10, photo.height // 10))
    around.paste(small, ((photo.width - small.width) // 2, (photo.height - small.height) // 2))
    return around


SPOILT: dict[str, tuple[str | None, Callable[[Image.Image], Image.Image]]] = {
    "as it is": (None, lambda photo: photo),
    "blurred, sigma 0.5 % of the width": ("hint.blurred", _blurred(0.005)),
    "blurred, sigma 1 %": ("hint.blurred", _blurred(0.01)),
    "blurred, sigma 2 %": ("hint.blurred", _blurred(0.02)),
    "a tenth of the light": (
        "hint.dark",
        lambda photo: ImageEnhance.Brightness(photo).enhance(0.1),
    ),
    "over-exposed": ("hint.bright", lambda photo: ImageEnhance.Brightness(photo).enhance(1.8)),
    "a tenth of the contrast": (
        "hint.low_contrast",
        lambda photo: ImageEnhance.Contrast(photo).enhance(0.1),
    ),
    "a tenth of the size": ("hint.far", _far),
    "200 pixels wide": ("hint.small", lambda photo: ImageOps.contain(photo, (200, 200))),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--photos", type=int, default=300)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    given = parser.parse_args()
    found = find_photos(given.folders)
    chosen = np.random.default_rng(0).permutation(len(found))[: given.photos]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=given.chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.add_script_tag(path=SCRIPT)
        counts = count(page, [Path(found[place]) for place in chosen])
        browser.close()
    result = {
        name: {"photos": len(chosen), "wanted": SPOILT[name][0], **of}
        for name, of in counts.items()
    }
    for name, row in result.items():
        print(name, json.dumps(row))
    if given.json:
        given.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def count(page: Page, photos: list[Path]) -> dict[str, dict[str, int]]:
    """Of each kind of photo, how many get each hint, and how many get none."""
    counts: dict[str, dict[str, int]] = {name: {} for name in SPOILT}
    for path in tqdm(photos, unit="photo", disable=None):
        with Image.open(path) as opened:
            photo = opened.convert("RGB")
        photo = photo.resize(
            (WIDTH, round(WIDTH * photo.height / photo.width)), Image.Resampling.BICUBIC
        )
        for name, (_, spoil) in SPOILT.items():
            written = io.BytesIO()
            spoil(photo).save(written, "JPEG", quality=92)
            source = "data:image/jpeg;base64," + base64.b64encode(written.getvalue()).decode()
            for hint in page.evaluate(HINTS_OF, source) or ["none"]:
                counts[name][hint] = counts[name].get(hint, 0) + 1
    return counts


if __name__ == "__main__":
    main()
