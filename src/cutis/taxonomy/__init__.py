"""Diagnoses with names, malignancy, urgency and texts, the labels that mean them, and views.

No clinician has reviewed the names, grades or texts; see docs/taxonomy.md.
"""

from cutis.taxonomy.labels import load_label_map, map_label, nearest_labels, normalise_label
from cutis.taxonomy.model import Diagnosis, DiagnosisText, Link, Malignancy, Urgency
from cutis.taxonomy.tree import ancestors, children, diagnoses, diagnosis, is_within
from cutis.taxonomy.views import View, view, view_names

__all__ = [
    "Diagnosis",
    "DiagnosisText",
    "Link",
    "Malignancy",
    "Urgency",
    "View",
    "ancestors",
    "children",
    "diagnoses",
    "diagnosis",
    "is_within",
    "load_label_map",
    "map_label",
    "nearest_labels",
    "normalise_label",
    "view",
    "view_names",
]
