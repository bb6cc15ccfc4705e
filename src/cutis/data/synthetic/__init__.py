"""Draws skin lesions, so that every verb runs where there is no data and no network."""

from cutis.data.synthetic.drawing import draw_lesion
from cutis.data.synthetic.lesions import DIAGNOSES, TONES
from cutis.data.synthetic.sheet import contact_sheet
from cutis.data.synthetic.spec import SyntheticSpec
from cutis.data.synthetic.writing import draw_collection, generate

__all__ = [
    "DIAGNOSES",
    "TONES",
    "SyntheticSpec",
    "contact_sheet",
    "draw_collection",
    "draw_lesion",
    "generate",
]
