"""
What a disk may hold after the power went: the record of t/shim, played up to a cut, with all that was not synced there, not there, or
half there. Only what POSIX promises is relied on: fsync of a file keeps its octets, fsync of a folder its names. What was not synced may
have come to the disk in any order; a rename is there whole or not at all, but its two folders are two.
"""
import hashlib
import os
import shutil

SECTOR = 512


class File:
    def __init__(self):
        self.kept = b""     # as synced last
        self.pending = []   # (offset, octets) or (None, new length), in order

    def now(self, choose):
        """choose(n): which part of the n-th thing pending came to the disk: all, none, or the first so many octets."""
        octets = bytearray(self.kept)
        for n, (at, what) in enumerate(self.pending):
            part = choose(n)
            if part == "none":
                continue
            if at is None:
                del octets[what:]
                octets += bytes(what - len(octets))
                continue
            data = what
            if part == "torn" and len(what) > SECTOR:
                data = what[:len(what) // 2 // SECTOR * SECTOR]
            elif part == "zero" and len(what) > 1:
                data = bytes(len(what))
            if len(octets) < at + len(data):
                octets += bytes(at + len(data) - len(octets))
            octets[at:at + len(data)] = data
        return bytes(octets)

    def sync(self):
        self.kept = self.now(lambda n: "all")
        self.pending = []


class Folder:
    def __init__(self):
        self.kept = {}      # name -> File or Folder
        self.pending = []   # (name, object or None for removed)

    def now(self, choose):
        names = dict(self.kept)
        for n, (name, what) in enumerate(self.pending):
            if choose(n) != "none":
                names.pop(name, None)
                if what is not None:
                    names[name] = what
        return names

    def sync(self):
        self.kept = self.now(lambda n: "all")
        self.pending = []


class Disk:
    def __init__(self, root):
        self.root = root
        self.folder = Folder()
        self.inodes = {}

    def split(self, path):
        """The folder's object and the name in it, as a running system sees it."""
        assert path.startswith(self.root + "/"), path
        at = self.folder
        *folders, name = path[len(self.root) + 1:].split("/")
        for one in folders:
            at = at.now(lambda n: "all")[one]
        return at, name

    def find(self, path):
        if path == self.root:
            return self.folder
        folder, name = self.split(path)
        return folder.now(lambda n: "all").get(name)

    def play(self, line):
        if line.call == "mkdir":
            folder, name = self.split(line.path)
            folder.pending.append((name, Folder()))
        elif line.call == "create":
            if line.path.rsplit("/", 1)[1].startswith("#"):     # no name yet
                return
            folder, name = self.split(line.path)
            self.inodes[line.inode] = file = File()
            folder.pending.append((name, file))
        elif line.call in ("write", "pwrite"):
            self.inodes[line.inode].pending.append((line.offset, line.data))
        elif line.call in ("truncate", "fallocate"):
            file = self.inodes[line.inode]
            length = len(file.now(lambda n: "all"))
            if line.call == "truncate" or line.offset > length:
                file.pending.append((None, line.offset))
        elif line.call in ("fsync", "fdatasync"):
            what = self.find(line.path) if line.inode not in self.inodes else self.inodes[line.inode]
            assert what is not None, line
            what.sync()
        elif line.call == "rename":
            folder, name = self.split(line.path)
            to_folder, to_name = self.split(line.to)
            what = folder.now(lambda n: "all")[name]
            folder.pending.append((name, None))
            to_folder.pending.append((to_name, what))
        elif line.call == "link":
            to_folder, to_name = self.split(line.to)
            to_folder.pending.append((to_name, self.find(line.path)))
        elif line.call == "unlink":
            folder, name = self.split(line.path)
            folder.pending.append((name, None))
        else:
            assert line.call == "send", line

    def image(self, choose):
        """path below the root -> octets, None for a folder; choose(what) is asked for each thing pending."""
        out = {}

        def walk(folder, prefix):
            for name, what in folder.now(lambda n: choose("name")).items():
                if isinstance(what, Folder):
                    out[prefix + name] = None
                    walk(what, prefix + name + "/")
                else:
                    out[prefix + name] = what.now(lambda n: choose("octets"))
        walk(self.folder, "")
        return out


# Ways in which all that was not synced may have come out.
def nothing(what):
    return "none"


def everything(what):
    return "all"


def names_only(what):
    """File systems that write names before octets: what a name leads to is empty."""
    return "all" if what == "name" else "none"


def zeros(what):
    """The length came to the disk, the octets did not."""
    return "all" if what == "name" else "zero"


def octets_only(what):
    return "none" if what == "name" else "all"


def at_random(dice):
    return lambda what: dice.choice(("all", "none") if what == "name" else ("all", "none", "torn", "zero"))


def print_of(image):
    h = hashlib.sha256()
    for path in sorted(image):
        h.update(path.encode() + b"\0" + (b"/" if image[path] is None else hashlib.sha256(image[path]).digest()))
    return h.digest()


def build(image, root, owner=None):
    """The folder as the image has it."""
    for name in os.listdir(root):
        path = os.path.join(root, name)
        shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
    for path in sorted(image):
        full = os.path.join(root, path)
        if image[path] is None:
            os.mkdir(full, 0o700)
        else:
            with open(full, "wb") as f:
                f.write(image[path])
            os.chmod(full, 0o600)
        if owner:
            shutil.chown(full, owner)
