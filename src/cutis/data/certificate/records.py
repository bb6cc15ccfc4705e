"""What a certificate is made of."""

from cutis.data.split_records import Check
from cutis.records import FORMAT_VERSION, Record


class Pair(Record):
    """Two photos that belong together. `kind` is a LinkKind."""

    kind: str
    image_id_a: str
    image_id_b: str
    part_a: str
    part_b: str
    label_a: str | None
    label_b: str | None
    score: float | None  # 1.0 for what is exact, else the correlation; null by way of others
    reason: str


class SiblingOracle(Record):
    """The accuracy of a program that has learnt nothing.

    It answers with the label of the nearest training photo of the same photograph or lesion, and
    with the commonest training label where there is none.
    """

    photos: int  # labelled photos of the part that is tested
    with_sibling: int  # of them, those with a training photo of the same photograph or lesion
    accuracy: float
    accuracy_with_sibling: float | None
    commonest_label: str
    accuracy_of_commonest: float  # always answering with that label


class AuditCertificate(Record):
    """What an audit found, for a person (`verdict`, `checks`) and for a program.

    `checks` decide over `passed`; `remarks` are faults of the data that are no leak. `counts` gives
    photos by part and label. `tested` names the parts whose siblings were counted: test, or
    validation where there is no test part, or every fold in turn. `pairs` holds for each photo its
    nearest relative in an earlier part, `conflicts` the same photograph under two labels, `copies`
    photographs that train holds more than once; each at most 1,000, `found` says of how many.
    `content_sha256` is the hash of what was audited; see `content_hash`.
    """

    format_version: int = FORMAT_VERSION
    cutis_version: str
    subject: str
    kind: str  # catalog, folders or table
    content_sha256: str
    catalog_sha256: str | None
    split_sha256: str | None
    passed: bool
    verdict: str
    checks: tuple[Check, ...]
    remarks: tuple[Check, ...]
    counts: dict[str, dict[str, int]]
    tested: tuple[str, ...]
    sibling_rate: float | None
    sibling_rate_by_image: float | None
    oracle: SiblingOracle | None
    found: dict[str, int]
    pairs: tuple[Pair, ...]
    conflicts: tuple[Pair, ...]
    copies: tuple[Pair, ...]
    notes: tuple[str, ...]


class Verification(Record):
    """Whether a certificate still belongs to the data that it is shown with."""

    matches: bool
    stated_sha256: str
    found_sha256: str
    verdict: str  # of the certificate
