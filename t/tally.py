"""Counts what `meson test` ran: tally.py BUILD...; the last line is "N passed, N failed[, N skipped]".

TAP tests count by subtest, pytest files by test (their own junit file), everything else as one.
    tally.py --list BUILD             names the areas
    tally.py --select BUILD AREA...   the arguments by which `meson test` runs these areas, a line each
"""
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET

SHOWN = 60
GOOD = ("OK", "SKIP", "EXPECTEDFAIL")


def tests(build):
    out = subprocess.run(["meson", "introspect", "--tests", build], stdout=subprocess.PIPE, check=True).stdout
    return [(t["name"], [s.split(":")[-1] for s in t["suite"]]) for t in json.loads(out)]


def short(name):
    """The area's name: system_pass is asked for as pass."""
    return name[len("system_"):] if name.startswith("system_") else name


def list_areas(build):
    by_suite = {}
    for name, suites in tests(build):
        for suite in suites:
            by_suite.setdefault(suite, []).append(short(name))
    for suite, names in sorted(by_suite.items()):
        print("%s: %s" % (suite, " ".join(sorted(names))))


def select(build, areas):
    all_tests, chosen = tests(build), []
    for area in areas:
        hits = [n for n, suites in all_tests if area in suites or area in (n, short(n))]
        if not hits:
            sys.exit("no such area: %s; t/run --list names them" % area)
        chosen += [h for h in hits if h not in chosen]
    print("\n".join(chosen))


class Tally:
    def __init__(self):
        self.passed = 0
        self.failed = []
        self.skipped = {}

    def case(self, where, case, reasons):
        name = "%s %s" % (where, case.get("name"))
        skip = case.find("skipped")
        bad = case.find("failure")
        bad = case.find("error") if bad is None else bad
        if bad is not None:
            text = (bad.get("message") or bad.text or "").strip().split("\n")
            self.failed.append("%s: %s" % (name, text[0][:300]))
        elif skip is not None:
            reason = skip.get("message") or reasons.get(case.get("name").split(" ")[0], "no reason given")
            self.skipped.setdefault(reason, []).append(name)
        else:
            self.passed += 1

    def build(self, build):
        logs = os.path.join(build, "meson-logs")
        taps = {}
        try:
            for suite in ET.parse(os.path.join(logs, "testlog.junit.xml")).getroot().iter("testsuite"):
                taps[suite.get("name").split(" / ")[-1].split(".")[-1]] = suite
            with open(os.path.join(logs, "testlog.json"), encoding="utf-8", errors="replace") as f:
                ran = [json.loads(line) for line in f]
        except (OSError, ET.ParseError, ValueError) as e:
            self.failed.append("%s: meson left no result: %s" % (build, e))
            return
        for test in ran:
            name = test["name"].split(" / ")[-1].split(":")[-1]
            where = "%s: %s" % (build, name)
            own = os.path.join(logs, "junit-%s.xml" % name)
            before = self.passed, len(self.failed), len(self.skipped)
            cases = []
            if os.path.exists(own):
                try:
                    cases = list(ET.parse(own).getroot().iter("testcase"))
                except ET.ParseError:
                    pass
            elif name in taps:
                cases = list(taps[name].iter("testcase"))
            reasons = dict(re.findall(r"^ok (\d+)\b[^\n#]*# SKIP (.*)$", test.get("stdout") or "", re.M))
            for case in cases:
                self.case(where, case, reasons)
            if test["result"] not in GOOD and len(self.failed) == before[1]:
                self.failed.append("%s: %s" % (where, test["result"].lower()))
            elif not cases and test["result"] == "SKIP":
                said = re.search(r"# SKIP (.*)", test.get("stdout") or "", re.I)
                if said:
                    self.skipped.setdefault(said.group(1), []).append(where)
                else:       # or what it said is no TAP
                    self.failed.append("%s: skipped without a word" % where)
            elif not cases and test["result"] in GOOD and not os.path.exists(own):
                self.passed += 1

    def end(self):
        for reason, names in sorted(self.skipped.items()):
            shown = ", ".join(names[:3]) + (" and %d more" % (len(names) - 3) if len(names) > 3 else "")
            print("skipped: %s (%s)" % (reason, shown))
        for line in self.failed[:SHOWN]:
            print("failed: " + line)
        if len(self.failed) > SHOWN:
            print("failed: and %d more" % (len(self.failed) - SHOWN))
        skipped = sum(len(names) for names in self.skipped.values())
        if self.passed + len(self.failed) == 0:
            print("nothing ran")
        print("%d passed, %d failed%s" % (self.passed, len(self.failed), ", %d skipped" % skipped if skipped else ""))
        return 1 if self.failed or not self.passed else 0


def main(args):
    if args[0] == "--list":
        return list_areas(args[1])
    if args[0] == "--select":
        return select(args[1], args[2:])
    tally = Tally()
    for build in args:
        tally.build(build)
    return tally.end()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
