"""The command line: a file a verb; each verb is also a function of the Python API."""

import os
import sys
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any, NamedTuple

import typer

from cutis import __version__
from cutis.cli import (
    abstention,
    audit,
    catalog,
    compare,
    demo,
    draw,
    evaluate,
    export,
    import_photos,
    leak_cost,
    models,
    predict,
    prune,
    reproduce,
    run_app,
    search,
    segment,
    split,
    train,
)
from cutis.errors import CutisError
from cutis.records import NOTICE


class Verb(NamedTuple):
    """A function of the Python API and what shows its result; `show` returns the exit code."""

    function: Callable[..., Any]
    show: Callable[[Any], int]


VERBS = {
    "import": Verb(import_photos.import_photos, import_photos.show),
    "catalog": Verb(catalog.catalog, catalog.show),
    "split": Verb(split.split, split.show),
    "audit": Verb(audit.audit, audit.show),
    "models": Verb(models.models, models.show),
    "train": Verb(train.train, train.show),
    "evaluate": Verb(evaluate.evaluate, evaluate.show),
    "compare": Verb(compare.compare, compare.show),
    "reproduce": Verb(reproduce.reproduce, reproduce.show),
    "leak-cost": Verb(leak_cost.leak_cost, leak_cost.show),
    "search": Verb(search.search, search.show),
    "abstention": Verb(abstention.abstention, abstention.show),
    "prune": Verb(prune.prune, prune.show),
    "export": Verb(export.export, export.show),
    "predict": Verb(predict.predict, predict.show),
    "segment": Verb(segment.segment, segment.show),
    "app": Verb(run_app.run_app, run_app.show),
    "draw": Verb(draw.draw, draw.show),
    "demo": Verb(demo.demo, demo.show),
}

INTERRUPTED = 130

app = typer.Typer(
    name="cutis",
    help=f"Skin-image classifiers, honest by default. {NOTICE}",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _command(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function without its return type, which typer would resolve and so import too early."""
    copy = FunctionType(function.__code__, function.__globals__, function.__name__,
                        function.__defaults__, function.__closure__)  # fmt: skip
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__doc__ = function.__doc__
    copy.__annotations__ = {k: v for k, v in function.__annotations__.items() if k != "return"}
    return copy


for _name, _verb in VERBS.items():
    app.command(_name)(_command(_verb.function))


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False,
        "--version",
        help="Print the version and exit.",
        callback=_print_version,
        is_eager=True,
    ),
) -> None:
    """The options that stand before the verb."""


def run(arguments: Sequence[str]) -> int:
    """Runs one command line and returns its exit code."""
    command = typer.main.get_command(app)
    try:
        result = command.main(
            list(arguments) or ["--help"], prog_name="cutis", standalone_mode=False
        )
        if not isinstance(result, int):
            return VERBS[arguments[0]].show(result)
        if result == INTERRUPTED:
            # typer takes Ctrl-C for itself and gives this code
            raise KeyboardInterrupt
        return result  # of help and version
    except typer.TyperException as error:
        print(f"error: {error.format_message()}", file=sys.stderr)
        print("  to do: see 'cutis --help' and 'cutis VERB --help'", file=sys.stderr)
        return 2
    except CutisError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        print("\nstopped; the same command goes on where it can", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # the reader of our output (head, less) has gone; flushing at exit would fail again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        # what the system refuses and no verb has a better word for
        print(f"error: {error.strerror or error}", file=sys.stderr)
        if error.filename is not None:
            print(f"  where: {error.filename}", file=sys.stderr)
        return 2


def main() -> None:
    """The entry point of the command `cutis`."""
    sys.exit(run(sys.argv[1:]))
