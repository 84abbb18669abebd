"""Waiting for an event, never for a time."""
import os
import threading
import time

# Seconds until a wait is a failure; sanitizers and a busy build machine are slow.
DEADLINE = float(os.environ.get("HOPSEAL_DEADLINE", "30"))


class Board:
    """Things that happened, in order; others wait until enough of them did."""

    def __init__(self):
        self.items = []
        self.changed = threading.Condition()

    def add(self, item):
        with self.changed:
            self.items.append(item)
            self.changed.notify_all()

    def snapshot(self):
        with self.changed:
            return list(self.items)

    def wait(self, what, holds, deadline=DEADLINE):
        """The items for which holds(items) gives something true; an AssertionError names `what` after the deadline."""
        end = time.monotonic() + deadline
        with self.changed:
            while True:
                got = holds(self.items)
                if got:
                    return got
                left = end - time.monotonic()
                if left <= 0:
                    raise AssertionError("waited %g s for %s; had %d: %r" % (deadline, what, len(self.items), self.items[-20:]))
                self.changed.wait(left)


def until(what, holds, deadline=DEADLINE):
    """For what no event tells, such as a file of somebody else's making: asks again and again, returns what holds() gave."""
    end = time.monotonic() + deadline
    while True:
        got = holds()
        if got:
            return got
        assert time.monotonic() < end, "waited %g s for %s" % (deadline, what)
        threading.Event().wait(0.01)
