"""`cutis app`: the pages and the API on one's own machine. The name `app` is the package's."""

import logging
import sys
import threading
import webbrowser
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

from typer import Option


def run_app(
    model: Annotated[
        Path | None,
        Option(
            metavar="BUNDLE",
            help="The bundle that answers; by default the model that comes with Cutis.",
            show_default=False,
        ),
    ] = None,
    port: Annotated[
        int, Option(min=0, max=65535, help="Where the app listens; 0 takes any free port.")
    ] = 8600,
    browser: Annotated[bool, Option(help="Open the app in the browser.")] = True,
    host: Annotated[
        str, Option(metavar="ADDRESS", help="Listen here; 0.0.0.0 lets other devices in.")
    ] = "127.0.0.1",
    archive: Annotated[
        Path | None,
        Option(
            metavar="FOLDER",
            help="Let people with an account save cases here; without it the app keeps nothing.",
            show_default=False,
        ),
    ] = None,
    drug_store: Annotated[
        str | None,
        Option(
            metavar="FILE.csv|URL",
            help="Show over-the-counter care for what needs no doctor: a catalogue, or a "
            "pharmacy's web API, which is then told the diagnosis and the language.",
            show_default=False,
        ),
    ] = None,
    chat_url: Annotated[
        str | None,
        Option(
            metavar="URL",
            help="Let an OpenAI-compatible language model answer questions about a result; it is "
            "sent the questions and the result in words, never photos.",
            show_default=False,
        ),
    ] = None,
    chat_model: Annotated[
        str | None, Option(metavar="NAME", help="The model's name there.", show_default=False)
    ] = None,
    chat_proxy: Annotated[
        bool, Option(help="Reach it through the proxy that the environment names.")
    ] = False,
) -> str:
    """Open the app: pages in English and Persian, offline, until Ctrl-C; needs no torch.

    With --archive the environment's CUTIS_DATABASE_URL may name a PostgreSQL server for the rows;
    with --chat-url its CUTIS_CHAT_KEY may hold the key.
    """
    from cutis.app import Settings, bind, create_app, serve
    from cutis.app.chat.opening import open_chat
    from cutis.app.drug_store.opening import open_drug_store
    from cutis.app.security import is_loopback
    from cutis.cli.app_backup import opened_archive
    from cutis.runtime import Predictor, Segmenter

    store = None if drug_store is None else open_drug_store(drug_store)
    chat = open_chat(chat_url, chat_model, proxies=chat_proxy)
    listening = bind(host, port)
    kept = nullcontext() if archive is None else opened_archive(archive)
    with listening, kept as opened:
        if opened is not None:
            opened.sweep()
        predictor = Predictor.load(model, engine="auto")
        segmenter = predictor.segmenter
        if segmenter is None and predictor.info.segmenter is not None:
            segmenter = Segmenter.load(model, engine="auto")
        app = create_app(
            predictor, segmenter, Settings(host=host), archive=opened, chat=chat, drug_store=store
        )
        logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
        address = _address(host, listening.getsockname()[1])
        if not is_loopback(host):
            print(_OPEN_TO_OTHERS if opened is None else _UNENCRYPTED, file=sys.stderr)
        print(f"{address}\nCtrl-C ends the app.", flush=True)
        first = None if opened is None else app.state.people.setup.path
        if first is not None:
            print(f"Make the first account, an admin: {address.rstrip('/')}{first}", flush=True)
        if browser:
            # Some browsers keep the caller waiting until they are closed.
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        serve(app, listening)
    return address


def show(address: str) -> int:
    """Says that the app has ended; what was not saved is gone with it."""
    print(f"\nstopped; the cases of {address} that were not saved are forgotten")
    return 0


_OPEN_TO_OTHERS = (
    "warning: every device in the network can open the app. There is no log-in and no encryption: "
    "use it only in a network that you trust."
)
_UNENCRYPTED = (
    "warning: every device in the network can open the app, and passwords travel unencrypted: use "
    "it only in a network that you trust, or behind a server with HTTPS."
)
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}


def _address(host: str, port: int) -> str:
    """The address to open on this machine."""
    named = _EVERYWHERE.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{named}:{port}/"
