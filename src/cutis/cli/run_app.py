"""`cutis app`: the pages and the API on one's own machine. The name `app` is the package's."""

import logging
import sys
import threading
import webbrowser
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
) -> str:
    """Open the app: pages in English and Persian, offline, until Ctrl-C; needs no torch."""
    from cutis.app import Settings, bind, create_app, serve
    from cutis.app.security import is_loopback
    from cutis.runtime import Predictor, Segmenter

    listening = bind(host, port)
    with listening:
        predictor = Predictor.load(model, engine="auto")
        segmenter = predictor.segmenter
        if segmenter is None and predictor.info.segmenter is not None:
            segmenter = Segmenter.load(model, engine="auto")
        app = create_app(predictor, segmenter, Settings(host=host))
        logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
        address = _address(host, listening.getsockname()[1])
        if not is_loopback(host):
            print(_OPEN_TO_OTHERS, file=sys.stderr)
        print(f"{address}\nCtrl-C ends the app.", flush=True)
        if browser:
            # Some browsers keep the caller waiting until they are closed.
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        serve(app, listening)
    return address


def show(address: str) -> int:
    """Says that the app has ended; its cases are gone with it."""
    print(f"\nstopped; the cases of {address} are forgotten")
    return 0


_OPEN_TO_OTHERS = (
    "warning: every device in the network can open the app. There is no log-in and no encryption: "
    "use it only in a network that you trust."
)
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}


def _address(host: str, port: int) -> str:
    """The address to open on this machine."""
    named = _EVERYWHERE.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{named}:{port}/"
