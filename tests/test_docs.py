"""The documentation says what is true: commands parse, examples run, links lead somewhere."""

import doctest
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer
from pydantic import BaseModel

import cutis
from cutis.cli import VERBS, app
from cutis.cli.reference import reference
from cutis.recipes import load_recipe, parse_recipe, recipe_names
from cutis.recipes.schema import Recipe

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
CARD = ROOT / "src" / "cutis" / "box" / "MODEL_CARD.md"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", CARD, *sorted(DOCS.rglob("*.md"))]
RUNNABLE = ("python.md", "extending.md")
PARSER = typer.main.get_command(app)

BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)


class Block(NamedTuple):
    """A fenced block: where it stands, its language, what follows that on the fence, its text."""

    page: Path
    language: str
    mark: str
    text: str


def blocks(*languages: str) -> list[Block]:
    return [
        Block(page, language, mark.strip(), text)
        for page in PAGES
        for language, mark, text in BLOCK.findall(page.read_text("utf-8"))
        if language in languages
    ]


def command_lines(program: str) -> Iterator[tuple[str, list[str]]]:
    """The page and the words of every line in a shell block that calls the program."""
    for block in blocks("console", "sh"):
        for line in block.text.replace("\\\n", " ").splitlines():
            if block.language == "console" and not line.startswith("$ "):
                continue
            words = shlex.split(line.removeprefix("$ "), comments=True)
            while words and re.fullmatch(r"\w+=\S*", words[0]):
                words.pop(0)
            if words and words[0] == program:
                yield block.page.name, words[1:]


def parsed_as(words: list[str]) -> tuple[str, Any, list[str]]:
    """The verb that a command line names with its first words, its parser, and what follows."""
    parser, verb = PARSER, []
    while words and words[0] in getattr(parser, "commands", {}):
        parser, verb, words = parser.commands[words[0]], [*verb, words[0]], words[1:]
    return " ".join(verb), parser, words


def anchors(page: Path) -> set[str]:
    """What the headings of a page are called in links, by GitHub's rule."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    names = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(text))
    return {name.strip().replace(" ", "-") for name in names}


def sections(model: type[BaseModel]) -> list[type[BaseModel]]:
    """A part of the recipe schema and all parts inside it."""
    found = [model]
    for field in model.model_fields.values():
        for inner in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                found += sections(inner)
    return found


def test_the_command_line_page_is_the_help() -> None:
    page = (DOCS / "reference" / "cli.md").read_text("utf-8")
    assert page == reference(), "run `make docs`"


def test_command_lines_parse() -> None:
    seen = []
    for page, words in command_lines("cutis"):
        verb, parser, arguments = parsed_as(words)
        assert verb in VERBS, f"{page}: there is no verb '{' '.join(words)}'"
        context = parser.make_context(verb, list(arguments))
        if verb == "train" and context.params["recipe"] in recipe_names():
            load_recipe(context.params["recipe"], context.params["settings"] or [])
        seen.append(verb)
    assert len(seen) > 50
    assert set(seen) == set(VERBS)


@pytest.mark.parametrize(
    "line", ["train demo --data c --out r --seed 1", "audit", "split c --folds many"]
)
def test_a_wrong_command_line_would_be_found(line: str) -> None:
    verb, *arguments = line.split()
    with pytest.raises(typer.TyperException):
        PARSER.commands[verb].make_context(verb, arguments)


def test_options_named_in_the_text_exist() -> None:
    count = 0
    for page in PAGES:
        for line in re.findall(r"`cutis ([a-z][^`]*)`", page.read_text("utf-8")):
            verb, parser, rest = parsed_as(line.split())
            assert verb, f"{page.name}: there is no verb '{line}'"
            options = {name for p in parser.params for name in p.opts}
            for option in re.findall(r"--[a-z][\w-]*", " ".join(rest)):
                assert option in options, f"{page.name}: 'cutis {verb}' has no {option}"
                count += 1
    assert count > 2


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    used = [words[0] for _, words in command_lines("make")]
    assert {"demo", "test"} <= set(used) <= targets
    first = (ROOT / "README.md").read_text("utf-8").split("```console\n")[1]
    assert first.startswith("$ make demo\n$ make test\n")


def test_python_blocks_compile() -> None:
    found = blocks("python")
    for block in found:
        examples = doctest.DocTestParser().get_examples(block.text)
        for source in [example.source for example in examples] or [block.text]:
            compile(source, block.page.name, "exec")
    assert len(found) > 10


@pytest.mark.parametrize("name", RUNNABLE)
def test_marked_python_blocks_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    marked = [b for b in blocks("python") if b.page.name == name and b.mark == "run"]
    assert len(marked) > 2
    names: dict[str, object] = {"__name__": "docs"}
    for block in marked:
        exec(compile(block.text, name, "exec"), names)


def test_all_marked_blocks_are_run() -> None:
    assert {b.page.name for b in blocks("python") if b.mark == "run"} == set(RUNNABLE)
    assert {b.mark for b in blocks("python")} == {"", "run"}


def test_recipes_of_the_pages_are_valid() -> None:
    recipes = [b for b in blocks("toml") if "[[stage]]" in b.text]
    for block in recipes:
        parse_recipe(block.text, where=block.page.name)
    assert len(recipes) == 2


def test_links_lead_somewhere() -> None:
    broken, count = [], 0
    for page in PAGES:
        for target in LINK.findall(page.read_text("utf-8")):
            if target.startswith(("http://", "https://")):
                continue
            path, _, anchor = target.partition("#")
            place = (page.parent / path).resolve() if path else page
            if not place.exists() or (anchor and anchor not in anchors(place)):
                broken.append(f"{page.relative_to(ROOT)}: {target}")
            count += 1
    assert broken == []
    assert count > 80


def test_every_page_can_be_reached() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        for target in LINK.findall(page.read_text("utf-8")):
            place = (page.parent / target.partition("#")[0]).resolve()
            if place.suffix == ".md" and place.is_file() and place not in reached:
                waiting.append(place)
    assert reached == set(PAGES)


def test_every_verb_has_a_page() -> None:
    index = (DOCS / "README.md").read_text("utf-8")
    verbs = {name.split()[0] for name in VERBS}  # those below a verb stand on its page or others
    for verb in verbs:
        page = (DOCS / "verbs" / f"{verb}.md").read_text("utf-8")
        assert page.startswith(f"# cutis {verb}\n")
        assert f"](verbs/{verb}.md)" in index
    assert len(list((DOCS / "verbs").glob("*.md"))) == len(verbs)


def test_the_changelog_knows_this_version() -> None:
    versions = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", PAGES[1].read_text("utf-8"), re.MULTILINE)
    assert versions[0] == cutis.__version__


def test_every_recipe_key_is_described() -> None:
    text = (DOCS / "recipes.md").read_text("utf-8").partition("\n## Keys\n")[2]
    tables = [dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", part, re.MULTILINE))
              for part in re.split(r"^### ", text, flags=re.MULTILINE)[1:]]  # fmt: skip
    parts = {part.__name__: part for part in sections(Recipe)}
    count = 0
    for part in parts.values():
        described = [table for table in tables if set(table) == set(part.model_fields)]
        assert len(described) == 1, f"{part.__name__}: the table does not hold exactly its keys"
        for key, field in part.model_fields.items():
            row = described[0][key]
            assert (field.description or "") in row, f"{part.__name__}.{key}: {row}"
            if isinstance(field.default, int | float | str) and field.default != "":
                shown = str(field.default).lower()
                assert row.startswith(f"`{shown}` | "), f"{part.__name__}.{key} is {shown}: {row}"
            count += 1
    assert len(tables) == len(parts)
    assert count > 40


def test_the_notice_stands_where_people_look() -> None:
    pages = ["../README.md", "README.md", "tutorial-ham10000.md", "verbs/predict.md"]
    for name in pages:
        top = (DOCS / name).read_text("utf-8")[:300].lower()
        assert "never a diagnosis" in top, name


def test_the_licence_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text("utf-8")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert len(text.splitlines()) > 200
