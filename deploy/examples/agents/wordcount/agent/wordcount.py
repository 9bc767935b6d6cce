"""Counts the words of the files that its data names."""

from pathlib import Path

from workers.agents.helper import Task, main


def work(task: Task) -> None:
    for number, path in enumerate(task.data.split(), 1):
        words = len(Path(path).read_text("utf-8", "replace").split())
        task.say("NOTICE", f"{path}: {words} words")
        task.heart(number)


main("wordcount", "1.0", work)
