"""Starts children that need not import the harvester each for itself: it has it loaded, and forks.

A child is what ``python -m harvester`` is once its imports are done: arguments, environment and streams of its own.
One line of JSON on stdin asks for one; its process id is the answer, and later, in a line of its own, how it ended.
"""

import json
import os
import runpy
import signal
import sys
import threading

import sitecustomize

import harvester.cli.app  # noqa: F401 - loaded for all children


def main() -> None:
    """Start whom the lines on stdin ask for, until they end."""
    turn = threading.Lock()
    for line in sys.stdin:
        words = json.loads(line)
        with turn:  # nobody else writes meanwhile, or the child would have it in its buffer
            child = os.fork()
        if not child:
            live(words)
        tell(turn, {"started": child})
        threading.Thread(target=bury, args=(child, turn), daemon=True).start()


def bury(child: int, turn: threading.Lock) -> None:
    """Wait for a child and tell how it ended."""
    _, status = os.waitpid(child, 0)
    tell(turn, {"ended": child, "code": os.waitstatus_to_exitcode(status)})


def tell(turn: threading.Lock, words: dict) -> None:
    """Write one line of JSON."""
    with turn:
        sys.stdout.write(json.dumps(words) + "\n")
        sys.stdout.flush()


def live(words: dict) -> None:
    """Be the command, to its end."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for number, name in ((0, os.devnull), (1, words["out"]), (2, words["err"])):
            flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            os.dup2(os.open(name, flags, 0o600), number)
        os.environ.clear()
        os.environ.update(words["environment"])
        sys.argv = ["harvester", *words["arguments"]]
        sitecustomize.begin()
        try:
            runpy.run_module("harvester", run_name="__main__", alter_sys=True)
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


if __name__ == "__main__":
    main()
