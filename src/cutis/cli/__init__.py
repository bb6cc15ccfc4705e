"""The command line: a file a verb; each verb is also a function of the Python API."""

import contextlib
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any, NamedTuple

import typer

from cutis import __version__
from cutis.cli import (
    abstention,
    app_account,
    app_backup,
    app_feedback,
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
    recalibrate,
    reproduce,
    run_app,
    search,
    segment,
    split,
    train,
)
from cutis.errors import CutisError, InputError
from cutis.records import NOTICE


class Verb(NamedTuple):
    """A function of the Python API and what shows its result; `show` returns the exit code."""

    function: Callable[..., Any]
    show: Callable[[Any], int]


# A name of several words is a verb below another; that one may be a verb itself.
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
    "recalibrate": Verb(recalibrate.recalibrate, recalibrate.show),
    "predict": Verb(predict.predict, predict.show),
    "segment": Verb(segment.segment, segment.show),
    "draw": Verb(draw.draw, draw.show),
    "demo": Verb(demo.demo, demo.show),
    "app": Verb(run_app.run_app, run_app.show),
    "app account add": Verb(app_account.app_account_add, app_account.show_added),
    "app account password": Verb(app_account.app_account_password, app_account.show_password),
    "app account disable": Verb(app_account.app_account_disable, app_account.show_disabled),
    "app backup": Verb(app_backup.app_backup, app_backup.show_backup),
    "app restore": Verb(app_backup.app_restore, app_backup.show_restore),
    "app feedback": Verb(app_feedback.app_feedback, app_feedback.show),
}

GROUPS = {"app account": "Add and disable accounts of an archive, and set passwords."}
"""Help of the groups that are no verbs themselves."""

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


def _alone(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as the callback of a group: it does nothing where a verb below it was named."""
    plain = _command(function)
    signature = inspect.signature(plain)
    context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD)

    def own(context: typer.Context, **values: Any) -> Any:
        if context.invoked_subcommand is None:
            return plain(**values)
        if any(values[name] != one.default for name, one in signature.parameters.items()):
            raise InputError(
                f"options of {context.command_path} stand before {context.invoked_subcommand}",
                fix=f"give them after it, see {context.command_path} {context.invoked_subcommand} "
                "--help",
            )
        return None

    own.__doc__ = plain.__doc__
    own.__annotations__ = {"context": typer.Context, **plain.__annotations__}
    own.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[context.replace(annotation=typer.Context), *signature.parameters.values()]
    )
    return own


def _add_verbs(to: typer.Typer, above: str = "") -> None:
    """Adds the verbs right below one, each with those below itself."""
    below = [name.removeprefix(above) for name in VERBS if name.startswith(above)]
    for word in dict.fromkeys(name.split()[0] for name in below):
        name, verb = above + word, VERBS.get(above + word)
        if not any(other.startswith(f"{name} ") for other in VERBS):
            to.command(word)(_command(VERBS[name].function))
            continue
        words = GROUPS[name] if verb is None else verb.function.__doc__
        group = typer.Typer(invoke_without_command=verb is not None, help=words)
        if verb is not None:
            group.callback()(_alone(verb.function))
        _add_verbs(group, f"{name} ")
        to.add_typer(group, name=word)


_add_verbs(app)


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


def _named(arguments: Sequence[str]) -> str:
    """The verb that a command line runs: as many of its first words as name one."""
    words = range(len(arguments), 0, -1)
    return next(name for n in words if (name := " ".join(arguments[:n])) in VERBS)


def run(arguments: Sequence[str]) -> int:
    """Runs one command line and returns its exit code."""
    command = typer.main.get_command(app)
    try:
        result = command.main(
            list(arguments) or ["--help"], prog_name="cutis", standalone_mode=False
        )
        if not isinstance(result, int):
            return VERBS[_named(arguments)].show(result)
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
    code = run(sys.argv[1:])
    cluster = sys.modules.get("cutis.scale.cluster")  # where none was used nothing of it is loaded
    if cluster is not None and cluster.is_stuck():
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):  # its reader has gone
                stream.flush()
        os._exit(code)
    sys.exit(code)
