"""Prints docs/reference/cli.md from the very help texts of the command line."""

from typer.testing import CliRunner

from cutis.cli import VERBS, app

_HEAD = """# Command line

Written by `make docs` from the help texts; a test keeps it true. Exit codes: 0 done, 1 a check
failed, 2 wrong use or bad input, 130 interrupted.
"""


def reference() -> str:
    """The page as Markdown, a section a verb."""
    pages = [_HEAD]
    for arguments in ([], *(verb.split() for verb in VERBS)):
        text = CliRunner().invoke(app, [*arguments, "--help"], terminal_width=100).output
        pages.append(f"## {' '.join(['cutis', *arguments])}\n\n```text\n{text.strip()}\n```\n")
    return "\n".join(pages)


if __name__ == "__main__":
    print(reference(), end="")
