"""The chat: questions about a case's result, answered from Cutis's own texts.

An OpenAI-compatible endpoint may put the answer in words; the texts, the rules and the last word
are ours. See docs/chat.md.
"""

from cutis.app.chat.chat import Chat
from cutis.app.chat.endpoint import Endpoint

__all__ = ["Chat", "Endpoint"]
