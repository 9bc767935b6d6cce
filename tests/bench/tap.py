"""What goes over the broker, read along with MONITOR, which slows it down: not while something is timed."""

from __future__ import annotations

import ast
import base64
import json
import re
import threading
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import redis

from scheduler_bridge.dispatch.routes import HOUSEKEEPING, LOOK_AGAIN, RUN_JOB

ARGUMENT = re.compile(rb'"(?:[^"\\]|\\.)*"')  # as MONITOR quotes it, which is how Python writes bytes
WAIT_SECONDS = 30
QUEUES = (b"agent.", HOUSEKEEPING.encode())  # workers also send messages to themselves


@dataclass(frozen=True, slots=True)
class Message:
    """One task message as it lies in a queue."""

    task: str
    task_id: str
    group: str | None  # of the chord it belongs to
    next_ids: tuple[str, ...]  # tasks that follow it in its chain
    size: int  # bytes

    @classmethod
    def read(cls, payload: bytes) -> Message:
        """From the text in the queue's list."""
        envelope = json.loads(payload)
        headers = envelope["headers"]
        _, _, embedded = json.loads(base64.b64decode(envelope["body"]))
        links: list[dict[str, Any]] = embedded.get("chain") or []
        next_ids = tuple(link["options"]["task_id"] for link in links)
        return cls(headers["task"], headers["id"], headers.get("group"), next_ids, len(payload))


@dataclass(frozen=True, slots=True)
class Tally:
    """Messages of a stream by what they were published as."""

    hints: int  # lone jobs
    chains: int
    chords: int
    look_agains: int
    messages: int  # that carry a job or ask to look again
    bytes_max: int

    @classmethod
    def of(cls, messages: Iterable[Message]) -> Tally:
        """Sweeps are left out: they come whether there are jobs or not."""
        own = [message for message in messages if message.task in (RUN_JOB, LOOK_AGAIN)]
        later_links = {task_id for message in own for task_id in message.next_ids}
        jobs = [m for m in own if m.task == RUN_JOB and m.group is None and m.task_id not in later_links]
        return cls(
            hints=sum(not message.next_ids for message in jobs),
            chains=sum(bool(message.next_ids) for message in jobs),
            chords=len({message.group for message in own if message.group}),
            look_agains=sum(message.task == LOOK_AGAIN for message in own),
            messages=len(own),
            bytes_max=max((message.size for message in own), default=0),
        )


class Tap:
    """Reads along in a thread of its own."""

    def __init__(self, monitor: redis.client.Monitor, broker: redis.Redis) -> None:
        self._monitor = monitor
        self._broker = broker
        self._sections: SimpleQueue[list[Message]] = SimpleQueue()
        self._marks: SimpleQueue[bytes] = SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def taken(self) -> list[Message]:
        """Every task message published since the last call."""
        mark = uuid.uuid4().hex
        self._marks.put(mark.encode())
        self._broker.echo(mark)
        return self._sections.get(timeout=WAIT_SECONDS)

    def _read(self) -> None:
        section: list[Message] = []
        try:
            mark = self._marks.get()
            while True:
                words = _words(self._monitor.connection.read_response())
                if words[:1] == [b"LPUSH"] and words[1].startswith(QUEUES):
                    section.append(Message.read(words[2]))
                elif words == [b"ECHO", mark]:
                    self._sections.put(section)
                    section, mark = [], self._marks.get()
        except (redis.ConnectionError, ValueError):
            return  # closed


@contextmanager
def tap(broker: redis.Redis) -> Iterator[Tap]:
    """Read along until the end of the block."""
    with broker.monitor() as monitor:  # type: ignore[no-untyped-call]
        yield Tap(monitor, broker)


def _words(line: bytes) -> list[bytes]:
    words = [ast.literal_eval("b" + word.decode("ascii")) for word in ARGUMENT.findall(line)]
    return [words[0].upper(), *words[1:]] if words else []
