"""What a photograph shows where its appearances do not say the same.

Sources copy from one another and relabel what they copy. Four cases are told apart: all say the
same; all lie on one branch of the hierarchy, so that one is merely more exact (refinement); all
fall into one class of the view that is worked with (same class); or they contradict each other
(conflict), and a policy decides. docs/verbs/catalog.md says it at length.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from cutis import taxonomy
from cutis.errors import InputError, nearest

Told = frozenset[tuple[str, str]]
"""What the appearances of one photograph say: pairs of source and diagnosis."""


class Rule(StrEnum):
    """What happens to photographs whose appearances contradict each other."""

    KEEP = "keep"
    """Nothing is merged: every appearance is a row with the diagnosis of its own source."""
    DROP = "drop"
    """The photograph is left out."""
    MAJORITY = "majority"
    """The diagnosis that most sources give; without one the photograph is left out."""
    TRUST = "trust"
    """The diagnosis of the first trusted source; without one the photograph is left out."""


@dataclass(frozen=True)
class Policy:
    """A rule, with the trusted sources in their order where the rule is `trust`."""

    rule: Rule
    trusted: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.rule}:{','.join(self.trusted)}" if self.trusted else str(self.rule)


class Kind(StrEnum):
    """How the diagnoses of one photograph stand to each other."""

    AGREEMENT = "agreement"
    REFINEMENT = "refinement"
    SAME_CLASS = "same class"
    CONFLICT = "conflict"


@dataclass(frozen=True)
class Decision:
    """The diagnosis of a photograph (the view's class with a view) and how it came about.

    `diagnosis` is None where the photograph is left out, or where the view has no place for it.
    """

    kind: Kind
    diagnosis: str | None
    left_out: bool = False


def parse_policy(text: str) -> Policy:
    """`keep`, `drop`, `majority`, or `trust:SOURCE,SOURCE…`; InputError for anything else."""
    word, _, names = text.partition(":")
    trusted = tuple(name.strip() for name in names.split(",") if name.strip())
    try:
        rule = Rule(word.strip().lower())
    except ValueError:
        raise _no_policy(text, nearest(word, list(Rule)) or None) from None
    if (rule is Rule.TRUST) != bool(trusted) or len(set(trusted)) < len(trusted):
        raise _no_policy(text, "name each trusted source once: trust:ham10000,isic2017")
    return Policy(rule, trusted)


def check_trusted(policy: Policy, sources: Iterable[str]) -> None:
    """InputError where a policy trusts a source that the catalog does not hold."""
    known = list(sources)
    for name in policy.trusted:
        if name not in known:
            raise InputError(
                f"the source '{name}' is trusted, but the catalog has none of this name",
                expected="sources of the catalog: " + ", ".join(known),
                fix=nearest(name, known) or "a source is named after its folder, in lower case",
            )


@dataclass(frozen=True)
class Judge:
    """Decides photographs under one policy and one view (None: the diagnoses as they are)."""

    policy: Policy
    view: taxonomy.View | None = None
    _known: dict[Told, Decision] = field(default_factory=dict, init=False, repr=False)

    def decide(self, told: Told) -> Decision:
        """The decision for one photograph; `told` must not be empty.

        Under `keep` it is that of `drop`, for the list of conflicts.
        """
        if told not in self._known:
            self._known[told] = self._decide(told)
        return self._known[told]

    def class_of(self, diagnosis: str) -> str | None:
        """The class of one diagnosis: itself without a view."""
        return diagnosis if self.view is None else self.view.class_of(diagnosis)

    def _decide(self, told: Told) -> Decision:
        names = {diagnosis for _, diagnosis in told}
        exact = most_exact(names)
        if len(exact) == 1:
            kind = Kind.AGREEMENT if len(names) == 1 else Kind.REFINEMENT
            return Decision(kind, self.class_of(*exact))
        shared = set.intersection(*(self._possible(name) for name in exact))
        if len(shared) == 1:
            return Decision(Kind.SAME_CLASS, shared.pop())
        winner = self._winner(told, exact)
        if winner is None:
            return Decision(Kind.CONFLICT, None, left_out=True)
        return Decision(Kind.CONFLICT, *winner)

    def _possible(self, name: str) -> set[str | None]:
        """The classes that a diagnosis may mean.

        More than one where the view has no place for it but divides what is below it: HAM10000's
        akiec is actinic keratosis or Bowen's disease, which are two classes of the view isic9.
        """
        own = self.class_of(name)
        if own is not None or self.view is None:
            return {own}
        below = {self.view.class_of(id) for id in _below(name)} - {None}
        return below or {None}

    def _winner(self, told: Told, exact: set[str]) -> tuple[str | None] | None:
        """The class that the policy chooses, in a tuple since it may be None; None for no choice.

        A source counts once, however many copies it holds. A general diagnosis speaks for every
        more exact one below it.
        """
        votes: dict[str, set[str | None]] = {}
        for source, name in told:
            meant = [id for id in exact if taxonomy.is_within(id, name)]
            votes.setdefault(source, set()).update(*(self._possible(id) for id in meant))
        if self.policy.rule is Rule.MAJORITY:
            counts = Counter(choice for choices in votes.values() for choice in choices)
            most = [choice for choice, count in counts.items() if count == max(counts.values())]
            return (most[0],) if len(most) == 1 else None
        for source in self.policy.trusted:
            if source in votes:
                choices = votes[source]
                return (next(iter(choices)),) if len(choices) == 1 else None
        return None


def most_exact(names: Iterable[str]) -> set[str]:
    """The diagnoses that have no other of these below them."""
    given = set(names)
    return given - {above for name in given for above in taxonomy.ancestors(name)}


def _below(name: str) -> Iterable[str]:
    for child in taxonomy.children(name):
        yield child
        yield from _below(child)


def _no_policy(text: str, fix: str | None) -> InputError:
    return InputError(
        f"'{text}' is no policy for conflicting diagnoses",
        expected="keep, drop, majority, or trust:SOURCE,SOURCE with the most trusted source first",
        fix=fix,
    )
