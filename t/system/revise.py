"""What a hop changes and how it says to undo that, recipes written by hand."""
import base64
import json

from mail import NOW, tag, unfolded
from seal import b64, body_hash, by_number, header_hash, seal


def instance(message, recipe=None, header=None, body=None):
    """The message with its next instance on top; hashes are right unless told."""
    m = max(by_number(message, "message-instance", "m"), default=0) + 1
    r = "" if recipe is None else "; r=" + b64(recipe if isinstance(recipe, bytes) else json.dumps(recipe).encode())
    return b"Message-Instance: m=%d; h=sha256:%s:%s%s;\r\n" % (
        m, (header or b64(header_hash(message))).encode(), (body or b64(body_hash(message))).encode(), r.encode()) + message


def revised(sealed, before, after, recipe, key, mf, rt, t=NOW):
    """A sealed message whose content went from `before` to `after`, sealed again by whoever did that."""
    assert sealed.endswith(before)
    top = sealed[:len(sealed) - len(before)]
    return seal(instance(top + after, recipe), key, mf=mf, rt=rt, t=t)


def recipe_of(message, m):
    """As JSON says it, of instance m."""
    return json.loads(base64.b64decode(tag(unfolded(by_number(message, "message-instance", "m")[m]), "r")))
