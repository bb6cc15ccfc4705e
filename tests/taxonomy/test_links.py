"""Pages of others: every address has a publisher, and what the loader refuses."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cutis.errors import InputError
from cutis.taxonomy import Link, ancestors, diagnoses, diagnosis
from cutis.taxonomy.links import load_publishers
from cutis.taxonomy.tree import load_diagnoses

PUBLISHERS = load_publishers()
ALL = [link for node in diagnoses().values() for link in node.links]
NODES = '[a]\nen = ["A"]\nfa = ["الف"]\n[b]\nparent = "a"\nicd11 = "2C30"\nen = ["B"]\nfa = ["ب"]\n'
PERSIAN = re.compile(r"[\u0600-\u06ff]")


def test_every_address_is_https_on_its_publishers_host() -> None:
    assert len(ALL) > 150
    for link in ALL:
        parts = urlsplit(link.url)
        assert parts.scheme == "https"
        assert parts.netloc == PUBLISHERS[link.publisher].host
        assert not parts.query
        assert not parts.fragment
        assert link.language == PUBLISHERS[link.publisher].language


def test_every_title_names_the_publisher_in_both_languages() -> None:
    for link in ALL:
        publisher = PUBLISHERS[link.publisher]
        assert link.title["en"].startswith(f"{publisher.en}: ")
        assert link.title["fa"].startswith(f"{publisher.fa}: ")
        assert PERSIAN.search(publisher.fa)
        assert "{" not in link.title["en"] + link.title["fa"]


def test_every_diagnosis_of_the_skin_has_a_link_and_none_twice() -> None:
    none = {node.id for node in diagnoses().values() if not node.links}
    assert none == {"no_diagnosis", "normal_skin", "undetermined", "not_skin"}
    for node in diagnoses().values():
        urls = [link.url for link in node.links]
        assert len(urls) == len(set(urls)), node.id


def test_who_is_named_where_a_code_is_known_and_only_there() -> None:
    for node in diagnoses().values():
        coded = [link for link in node.links if link.publisher == "who"]
        assert len(coded) == (node.icd11 is not None), node.id
        for link in coded:
            assert link.title["en"].endswith(f"look up the code {node.icd11}")
            assert str(node.icd11) in link.title["fa"]
            assert link.url == PUBLISHERS["who"].index


def test_every_publisher_is_used() -> None:
    assert {link.publisher for link in ALL} == set(PUBLISHERS)


def test_a_diagnosis_takes_the_pages_of_the_nearest_one_above() -> None:
    assert "melanoma" in ancestors("lentigo_maligna")
    above = [link for link in diagnosis("melanoma").links if link.publisher != "who"]
    assert list(diagnosis("lentigo_maligna").links) == above
    assert above[0] == Link(
        title={"en": "DermNet: Melanoma", "fa": "درم‌نت: ملانوم"},
        url="https://dermnetnz.org/topics/melanoma",
        language="en",
        publisher="dermnet",
    )


def load(tmp_path: Path, links: str) -> dict[str, tuple[Link, ...]]:
    for name, text in (("n.toml", NODES), ("l.toml", links)):
        (tmp_path / name).write_text(text, "utf-8")
    found = load_diagnoses([tmp_path / "n.toml"], [], [tmp_path / "l.toml"])
    return {id: node.links for id, node in found.items()}


def test_links_are_built_of_code_and_pages(tmp_path: Path) -> None:
    found = load(tmp_path, '[a]\ndermnet = "https://dermnetnz.org/topics/a"\n')
    assert [link.publisher for link in found["a"]] == ["dermnet"]
    assert [link.publisher for link in found["b"]] == ["who", "dermnet"]
    assert found["b"][1].title["en"] == "DermNet: A"
    listed = load(tmp_path, '[a]\ndermnet = "https://dermnetnz.org/topics"\n')
    assert listed["a"][0].title["en"] == "DermNet: list of all topics"


@pytest.mark.parametrize(
    ("links", "said"),
    [
        (
            '[melanomma]\ndermnet = "https://dermnetnz.org/topics/a"',
            "unknown diagnosis 'melanomma'",
        ),
        (
            '[a]\nwikipedia = "https://en.wikipedia.org/wiki/A"',
            "no publisher is called 'wikipedia'",
        ),
        ('a = "https://dermnetnz.org/topics/a"', "no table"),
        ("[a]\ndermnet = 3", "refused"),
        ('[a]\ndermnet = "http://dermnetnz.org/topics/a"', "refused"),
        ('[a]\ndermnet = "https://dermnetnz.org.evil.example/a"', "refused"),
        ('[a]\ndermnet = "https://evil.example/dermnetnz.org"', "refused"),
        ('[a]\ndermnet = "https://name@dermnetnz.org/topics/a"', "refused"),
        ('[a]\ndermnet = "https://dermnetnz.org:8443/topics/a"', "refused"),
        ('[a]\ndermnet = "https://dermnetnz.org/topics/a?utm_source=x"', "refused"),
        ('[a]\ndermnet = "https://dermnetnz.org/topics/a b"', "refused"),
        ('[a]\ndermnet = "javascript:alert(1)"', "refused"),
        ('[a]\ndermnet = "https://dermnetnz.org/a\\n"', "refused"),
    ],
)
def test_what_the_loader_refuses(tmp_path: Path, links: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        load(tmp_path, links)
    assert "l.toml" in str(caught.value)


def test_an_index_off_the_publishers_host_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    table = '[x]\nhost = "x.example"\nlanguage = "en"\nen = "X"\nfa = "X"\nindex = "{}"\n'
    path.write_text(table.format("https://x.example/"), "utf-8")
    assert load_publishers(path)["x"].index == "https://x.example/"
    path.write_text(table.format("https://y.example/"), "utf-8")
    with pytest.raises(InputError, match="refused"):
        load_publishers(path)
