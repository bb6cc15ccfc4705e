"""Cases in memory: bounded in number, bytes and time, and nothing on a disk."""

import threading

import pytest

from cutis.app.cases import SEXES, SITES, SYMPTOMS, Case, CaseFacts, CaseStore, Judgement, Photo
from cutis.app.i18n import languages, translator


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def a_case(size: int = 10) -> Case:
    return Case((Photo(b"x" * size, 4, 3),), CaseFacts(), Judgement(photos=(), probabilities={}))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> CaseStore:
    return CaseStore(capacity=3, lifetime_s=60, memory_mb=1, clock=clock)


def test_ids_are_long_and_never_alike() -> None:
    ids = {a_case().id for _ in range(100)}
    assert len(ids) == 100
    assert min(map(len, ids)) == 22  # 128 bits


def test_a_full_store_drops_the_case_unused_for_longest(store: CaseStore) -> None:
    cases = [a_case() for _ in range(4)]
    for case in cases[:3]:
        store.add(case)
    assert store.get(cases[0].id) is cases[0]
    store.add(cases[3])
    kept = [store.get(case.id) is not None for case in cases]
    assert kept == [True, False, True, True]


def test_a_case_is_forgotten_a_while_after_its_last_use(store: CaseStore, clock: Clock) -> None:
    used, unused = a_case(), a_case()
    store.add(used)
    store.add(unused)
    clock.now += 40
    assert store.get(used.id) is used
    clock.now += 40
    store.sweep()
    assert len(store._kept) == 1
    assert store.get(unused.id) is None
    assert store.get(used.id) is used
    clock.now += 60
    assert len(store) == 0


def test_bytes_are_bounded_too(store: CaseStore) -> None:
    first, second, third = (a_case(400_000) for _ in range(3))
    store.add(first)
    store.add(second)
    store.add(third)
    assert store.get(first.id) is None
    store.keep_layer(third, "outline", b"x" * 300_000)  # layers count
    assert store.get(second.id) is None
    assert store.layer(third, "outline") is not None


def test_layers_belong_to_one_state_of_a_case(store: CaseStore) -> None:
    case = a_case()
    store.add(case)
    store.keep_layer(case, 1, b"layer")
    assert store.layer(case, 1) == b"layer"
    changed = Case(case.photos * 2, case.facts, case.judgement, case.id)
    assert store.replace(case, changed)
    assert store.layer(changed, 1) is None
    store.keep_layer(case, 1, b"late")  # drawn for the old state
    assert store.layer(changed, 1) is None
    assert not store.replace(case, a_case())


def test_few_layers_of_a_case_are_kept(store: CaseStore) -> None:
    case = a_case()
    store.add(case)
    for number in range(50):
        store.keep_layer(case, number, b"x")
    kept = [number for number in range(50) if store.layer(case, number)]
    assert 0 < len(kept) < 20
    assert kept[-1] == 49


def test_a_removed_case_is_gone(store: CaseStore) -> None:
    case = a_case()
    store.add(case)
    assert store.remove(case.id)
    assert not store.remove(case.id)
    assert store.get(case.id) is None
    store.keep_layer(case, 1, b"late")
    assert len(store) == 0


def test_whoever_keeps_something_of_a_case_hears_of_its_removal(
    store: CaseStore, clock: Clock
) -> None:
    """Also of a case that is kept elsewhere; what is only dropped is not told."""
    first: list[str] = []
    second: list[str] = []
    store.on_remove += [first.append, second.append]
    case, dropped = a_case(), a_case()
    store.add(case)
    store.remove(case.id)
    store.remove("saved")
    store.add(dropped)
    clock.now += 60
    store.sweep()
    assert len(store) == 0
    assert first == second == [case.id, "saved"]


def test_it_is_forgotten_before_it_is_told(store: CaseStore) -> None:
    case = a_case()
    found: list[Case | None] = []
    store.on_remove.append(lambda case_id: found.append(store.get(case_id)))
    store.add(case)
    store.remove(case.id)
    assert found == [None]


def test_threads_do_not_disturb_one_another() -> None:
    store = CaseStore(capacity=5, lifetime_s=60)
    failed = []

    def work() -> None:
        try:
            for _ in range(200):
                case = a_case()
                store.add(case)
                store.keep_layer(case, 1, b"x")
                store.get(case.id)
                store.remove(case.id)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(store) == 0


def test_every_choice_has_a_word_in_every_language() -> None:
    groups = {"sex": SEXES, "site": SITES, "symptom": SYMPTOMS}
    for language in languages():
        for group, values in groups.items():
            for value in values:
                assert translator(language).term(group, value)
    assert len(SITES) > 10
