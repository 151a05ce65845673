"""Hugging Face's tokenizers, whose threads allocate without the interpreter lock: a WSGI application for gunicorn."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from bench.apps.native import texts

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

TEXTS = texts(2_000)


def _trained() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(vocab_size=2_000, show_progress=False)
    tokenizer.train_from_iterator(TEXTS[:500], trainer)
    return tokenizer


TOKENIZER = _trained()


def _tokens(count: int) -> bytes:
    first = random.randrange(len(TEXTS) - count)
    encoded = TOKENIZER.encode_batch(TEXTS[first : first + count])
    return b"%d" % sum(len(one.ids) for one in encoded)


def wsgi(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer for gunicorn."""
    body = b"ok"
    if environ["PATH_INFO"] == "/tokens":
        body = _tokens(int(parse_qs(environ["QUERY_STRING"])["count"][0]))
    start_response(
        "200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
    )
    return [body]
