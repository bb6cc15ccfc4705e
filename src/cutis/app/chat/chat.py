"""A question from the box to the answer: refused, put to the endpoint, or looked up."""

import logging
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from cutis.app.chat.checking import Checker, RefusedError
from cutis.app.chat.conversation import (
    Answer,
    Conversation,
    Conversations,
    Key,
    Kind,
    Source,
    Turn,
    messages,
)
from cutis.app.chat.endpoint import MOST_LETTERS, Endpoint, EndpointError
from cutis.app.chat.pace import Pace
from cutis.app.chat.questions import Topic, topic_of
from cutis.app.chat.search import Index
from cutis.app.chat.texts import Passage, passages, result_passage, urgency_words
from cutis.app.i18n import Translator
from cutis.app.views import Result

_MOST_SENT = 5  # passages, besides the result
_MOST_SHOWN = 3  # passages of an answer without an endpoint

logger = logging.getLogger("cutis.app.chat")


@dataclass(frozen=True)
class Question:
    """What somebody asks about a case.

    Attributes:
        key: of the conversation.
        text: as it was typed.
        result: what the case's page shows, in the question's language.
        words: of that language.
        consent: the person agrees that the text is sent to an endpoint elsewhere.
    """

    key: Key
    text: str
    result: Result
    words: Translator
    consent: bool = False


class Chat:
    """Answers questions about cases.

    Args:
        endpoint: a language model; None: the texts alone answer.
        pace: how often people may ask.
        capacity: conversations kept in memory.
        lifetime_s: seconds after its last use in which one is forgotten.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        endpoint: Endpoint | None = None,
        *,
        pace: Pace | None = None,
        capacity: int = 200,
        lifetime_s: float = 1800,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.endpoint = endpoint
        self.conversations = Conversations(capacity, lifetime_s, clock)
        self.pace = pace or Pace(clock=clock)

    async def answer(self, question: Question) -> AsyncGenerator[str | Answer, None]:
        """Sentences of the answer as they come, and at the end the whole answer, which counts.

        The last one may differ from what came before: an answer that breaks a rule is replaced.
        Hold a place of `pace` meanwhile.
        """
        talk = self.conversations.of(question.key)
        talk.consented = talk.consented or question.consent
        async with aclosing(self._pieces(question, talk)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Answer):
                    talk.add(Turn(question.text, piece))
                yield piece

    async def _pieces(
        self, asked: Question, talk: Conversation
    ) -> AsyncGenerator[str | Answer, None]:
        topic = topic_of(asked.text)
        if topic is not None:
            yield _fixed(topic, asked)
            return
        found = _find(asked, talk)
        if not found or self.endpoint is None:
            yield _looked_up(asked, found)
        elif not (self.endpoint.is_local or talk.consented):
            host = self.endpoint.host
            yield _looked_up(asked, found, asked.words.text("chat.notice.no_consent", host=host))
        else:
            async with aclosing(self._assisted(self.endpoint, asked, talk, found)) as pieces:
                async for piece in pieces:
                    yield piece

    async def _assisted(
        self, endpoint: Endpoint, asked: Question, talk: Conversation, found: Sequence[Passage]
    ) -> AsyncGenerator[str | Answer, None]:
        """The endpoint's answer; what was looked up where it fails or breaks a rule."""
        result = result_passage(asked.result, asked.words)
        given = [result, *(one for one in found if one.id != result.id)]
        checker = Checker(asked.words.language, given, asked.text)
        told = messages(asked.text, given, talk.turns, asked.words)
        try:
            async with aclosing(endpoint.stream(told)) as stream:
                async for piece in stream:
                    if shown := checker.feed(piece):
                        yield shown
            if shown := checker.finish(whole=checker.letters < MOST_LETTERS):
                yield shown
        except EndpointError as error:
            logger.warning("the chat's endpoint failed: %s", error)
            yield _looked_up(asked, found, asked.words.text("chat.notice.unreachable"))
            return
        except RefusedError as error:
            logger.warning("an answer of the chat's endpoint was refused: %s", error)
            yield _looked_up(asked, found, asked.words.text("chat.notice.refused"))
            return
        sources = tuple(Source(number, given[number - 1]) for number in checker.cited)
        yield _answer(asked, Kind.ASSISTANT, checker.text.strip(), sources)


def _find(asked: Question, talk: Conversation) -> list[Passage]:
    """The passages that fit; a question that says too little alone is read with the one before."""
    index = Index(passages(asked.result, asked.words))
    found = index.search(asked.text, _MOST_SENT)
    if not found and talk.turns:
        found = index.search(talk.turns[-1].question, _MOST_SENT)
    return [one.passage for one in found]


def _fixed(topic: Topic, asked: Question) -> Answer:
    numbers = {"iran": 115, "europe": 112} if topic is Topic.EMERGENCY else {}
    return _answer(asked, Kind.REFUSED, asked.words.text(f"chat.refused.{topic}", **numbers))


def _looked_up(asked: Question, found: Sequence[Passage], notice: str = "") -> Answer:
    if not found:
        return _answer(asked, Kind.NOTHING, asked.words.text("chat.nothing"))
    sources = tuple(Source(number, one) for number, one in enumerate(found[:_MOST_SHOWN], 1))
    return _answer(asked, Kind.TEXTS, "", sources, notice)


def _answer(
    asked: Question, kind: Kind, text: str, sources: tuple[Source, ...] = (), notice: str = ""
) -> Answer:
    """Every answer ends with the sentence of urgency where there is one: we put it there."""
    urgency = urgency_words(asked.result, asked.words)
    return Answer(kind, asked.words.language, text, sources, notice, urgency)
