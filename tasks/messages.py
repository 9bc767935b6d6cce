"""What a message must look like before it costs a slot: whatever does not is dropped with one line in the log.

Celery would let the task fail with a traceback, and some shapes would hold a slot for ever. A message of another
version is none of these: it is well-formed, and the task leaves it to the sweep.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Any

from celery.worker import strategy

from scheduler_bridge.dispatch.transport import log_dropped

GUARDED = f"{__name__}:guarded"  # the strategy of every task
LARGEST_NUMBER = 2**31 - 1  # of a row


class Misread(ValueError):
    """The message is not one of ours."""


def guarded(task: Any, app: Any, consumer: Any, **options: Any) -> Callable[..., Any]:
    """Celery's way from a message to a slot, for messages that can be understood."""
    handle = strategy.default(task, app, consumer, **options)
    parameters = inspect.signature(task.run)

    def receive(message: Any, body: Any, *rest: Any) -> Any:
        consumer.heard()
        try:
            check(message, body, parameters)
        except (ValueError, TypeError, RecursionError) as error:
            log_dropped(task.name, error, message.body)
            message.ack()
            return None
        return handle(message, body, *rest)

    return receive


def check(message: Any, body: Any, parameters: inspect.Signature) -> None:
    """Raise Misread, TypeError or ValueError when the message is not a call that `parameters` allow."""
    if body is not None:
        raise Misread("it is of Celery's first protocol")
    if message.content_type != "application/json":
        raise Misread(f"its content type is {message.content_type}")
    if str(message.content_encoding).lower() not in ("utf-8", "us-ascii"):
        raise Misread(f"its content encoding is {message.content_encoding}")
    if not isinstance(message.headers.get("id"), str):
        raise Misread("it has no id")
    if not {"exchange", "routing_key"} <= set(message.delivery_info or ()):
        raise Misread("it does not say where it was sent")
    if message.headers.get("eta"):
        raise Misread("it shall wait for a time of day")
    content = json.loads(message.body)
    if not isinstance(content, list) or len(content) != 3:
        raise Misread("its body is not a list of three")
    args, named, embedded = content
    if not isinstance(args, list) or not isinstance(named, dict) or not isinstance(embedded, dict):
        raise Misread("its body is not a list of arguments, named arguments and what follows")
    parameters.bind(*args, **named)
    if not all(is_number(argument) for argument in (*args, *named.values())):
        raise Misread("an argument is not the number of a row")


def is_number(argument: Any) -> bool:
    """Whether it can be the number of a row, or a version."""
    return type(argument) is int and 0 <= argument <= LARGEST_NUMBER
