"""The chat as somebody sets it up who starts the app."""

import os

from cutis.app.chat.chat import Chat
from cutis.app.chat.checking import prepare
from cutis.app.chat.endpoint import Endpoint
from cutis.errors import InputError

KEY = "CUTIS_CHAT_KEY"
"""The variable of the environment that holds the endpoint's key; a key on the command line would
stand in the list of processes."""


def open_chat(url: str | None, model: str | None, *, proxies: bool = False) -> Chat | None:
    """A chat with an endpoint; None where none is named.

    Raises InputError for an address, a name or a key that cannot be used.
    """
    if url is None:
        if model is not None:
            raise InputError("a chat model needs an endpoint", fix="add --chat-url URL")
        return None
    chat = Chat(Endpoint(url, model or "", os.environ.get(KEY), proxies=proxies))
    prepare()
    return chat
