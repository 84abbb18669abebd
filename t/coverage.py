"""The table of t/coverage: coverage.py BUILD [FOLDER]; with a folder its files and the lines that no test reached."""
import json
import os
import stat
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def programs(build):
    """What was built and holds code of ours."""
    found = []
    for folder, _, names in os.walk(build):
        for name in names:
            path = os.path.join(folder, name)
            mode = os.lstat(path).st_mode
            if stat.S_ISREG(mode) and mode & stat.S_IXUSR:
                with open(path, "rb") as f:
                    if f.read(4) == b"\x7fELF":
                        found.append(path)
    return sorted(found, key=lambda p: (not p.endswith("src/hopseal"), p))


def export(build, *options):
    argv = ["llvm-cov", "export", "-instr-profile", os.path.join(build, "all.profdata")] + list(options)
    first, *rest = programs(build)
    argv.append(first)
    for one in rest:
        argv += ["-object", one]
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    return json.loads(done.stdout)["data"][0]["files"]


def source(path):
    path = os.path.relpath(os.path.normpath(os.path.join(ROOT, "build-coverage", path)), ROOT)
    return path if path.startswith("src/") else None


def row(name, lines, branches):
    def part(x):
        return "%6d of %6d  %5.1f %%" % (x[0], x[1], 100.0 * x[0] / x[1]) if x[1] else "%24s" % "-"
    print("%-28s %s   %s" % (name, part(lines), part(branches)))


def missed(segments):
    """Lines that hold code of which nothing ran, as ranges. A segment goes on to the next; gaps are what stands between statements."""
    never, ran = set(), set()
    for (line, _, count, has_count, _, gap), (end, *_) in zip(segments, segments[1:]):
        if has_count and not gap:
            (ran if count else never).update(range(line, end + 1) if count == 0 else (line, end))
    ranges = []
    for n in sorted(never - ran):
        if ranges and ranges[-1][1] == n - 1:
            ranges[-1][1] = n
        else:
            ranges.append([n, n])
    return ", ".join("%d" % a if a == b else "%d-%d" % (a, b) for a, b in ranges)


def add(sums, name, lines, branches):
    for total, one in zip(sums.setdefault(name, ([0, 0], [0, 0])), (lines, branches)):
        total[0] += one[0]
        total[1] += one[1]


def main():
    build, below = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
    sums = {}
    print("%-28s %24s   %24s" % ("", "lines", "branches"))
    for file in export(build, *([] if below else ["-summary-only"])):
        name = source(file["filename"])
        if not name or not name.endswith(".c") or (below and not name.startswith(below.rstrip("/") + "/")):
            continue
        lines, branches = [(file["summary"][k]["covered"], file["summary"][k]["count"]) for k in ("lines", "branches")]
        if below:
            row(name, lines, branches)
            gaps = missed(file["segments"])
            if gaps:
                print("    not reached: %s" % gaps)
        add(sums, "/".join(name.split("/")[:2]) if name.count("/") > 1 else "src (programs)", lines, branches)
        add(sums, "~all", lines, branches)
    for name in sorted(sums):
        row(name.lstrip("~"), *sums[name])


main()
