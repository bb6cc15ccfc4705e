"""What a class of a model is called, and on which side of malignancy it stands."""

from cutis.taxonomy import Malignancy, ancestors, diagnoses, map_label


def display_name(class_id: str) -> str:
    """The English name; classes of a view that are no diagnosis show their id in words."""
    node = diagnoses().get(class_id)
    return node.name["en"] if node else class_id.replace("_", " ").capitalize()


def malignancy(class_id: str) -> Malignancy | None:
    """None where the taxonomy does not settle it; `benign` and `malignant` are classes too."""
    if class_id in set(Malignancy):
        return Malignancy(class_id)
    node = diagnoses().get(class_id)
    return node.malignancy if node else None


def resolve(label: str, classes: tuple[str, ...]) -> str | None:
    """The class or diagnosis that a label in a table means; None when nobody knows it.

    A diagnosis below one of the classes becomes that class: a blue nevus is a melanocytic nevus.
    """
    if label in classes or label in set(Malignancy):
        return label
    found = label if label in diagnoses() else map_label(label)
    if found is None or found in classes:
        return found
    return next((above for above in ancestors(found) if above in classes), found)
