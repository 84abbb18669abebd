"""Zones of others in the form that hopsealctl and the daemon read (INTERFACE: the offline DNS file), and a reader of that form."""
import ipaddress
import re

TYPES = ("TXT", "MX", "A", "AAAA", "PTR", "CNAME", "TLSA")


def add(zone, name, kind, data):
    name = name.lower().rstrip(".")
    zone.setdefault(name, {}).setdefault(kind, []).append(data)


def finished(zone):
    """CNAME is one name and stands alone."""
    for row in zone.values():
        if "CNAME" in row:
            row["CNAME"] = row["CNAME"][0]
    return zone


def from_bind(text):
    """
    Lines of a zone file: NAME [TTL] [IN] TYPE DATA, no directives, no record over several lines; strings of a TXT record are joined, quoted or not.
    ";ERROR,name,type,CODE" is a lookup that ends so.
    """
    zone = {}
    for line in text.splitlines():
        if line.startswith(";ERROR,"):
            _, name, _, code = line.split(",")
            if code.strip() != "NXDOMAIN":      # a name that is not there is that already
                zone[name.lower().rstrip(".")] = {"error": "timeout" if code.strip().lower() == "timeout" else "servfail"}
            continue
        found = re.fullmatch(r"(\S+)\s+(?:\d+\s+)?(?:IN\s+)?([A-Z]+)\s*(.*)", line)
        if not found or line.startswith(";"):
            continue
        name, kind, data = found.groups()
        if kind not in TYPES or not data:
            continue
        if kind == "TXT":
            data = re.sub(r"^\(|\)$", "", data.strip()).strip()
            data = "".join(quoted or bare for quoted, bare in re.findall(r'"([^"]*)"|([^\s"]+)', data))
        else:
            data = re.sub(r"\s+", " ", data.strip()).rstrip(".")
        add(zone, name, kind, data)
    return finished(zone)


class Silent(Exception):
    """The lookup failed: timeout or servfail."""


def look_up(zone, name, kind):
    """Records of one name: CNAMEs followed."""
    for _ in range(9):
        row = zone.get(name.lower().rstrip("."), {})
        if isinstance(row, list):
            row = {"TXT": row}
        if "error" in row:
            raise Silent(row["error"])
        if "CNAME" not in row or kind == "CNAME":
            got = row.get(kind, [])
            return [got] if isinstance(got, str) else got
        name = row["CNAME"]
    return []


def from_openspf(records):
    """
    A zone of the openspf test suite: {"name", "type", ...}. A name whose other lookups fail fails when it has no TXT record, which is all that is
    asked of it. JSON text as we read it holds no NUL: there it is another control.
    """
    zone, errors = {}, {}
    for record in records:
        name, kind = record["name"], record["type"]
        if "error" in record:
            errors[name.lower().rstrip(".")] = record["error"]
        elif kind == "TXT":
            add(zone, name, kind, "".join(record["strings"]).replace("\0", "\1"))
        elif kind == "MX":
            add(zone, name, kind, "%d %s" % (record["preference"], record["target"] or "."))
        elif kind in TYPES:
            add(zone, name, kind, record["value"])
    for name, error in errors.items():
        if "TXT" not in zone.get(name, {}):
            zone[name] = {"error": error}
    return finished(zone)


def from_lines(lines):
    """Records as "type name value": spf and exp a text; a, aaaa and ptr a list; mx a list of addresses, each of a host that has no name there."""
    zone = {}
    for line in lines:
        kind, name, rest = (line.split(" ", 2) + [""])[:3]
        if len(name) > 253 or max(map(len, name.split("."))) > 63:
            continue        # no name of the DNS
        if kind in ("spf", "exp"):
            add(zone, name, "TXT", rest)
            continue
        for n, item in enumerate(part.strip() for part in rest.split(",") if part.strip()):
            if kind == "ptr":
                add(zone, ipaddress.ip_address(name).reverse_pointer, "PTR", item)
                continue
            if kind == "mx":
                add(zone, name, "MX", "%d mx%d.%s" % (n, n, name))
            add(zone, "mx%d.%s" % (n, name) if kind == "mx" else name, "AAAA" if ":" in item else "A", item)
    return finished(zone)
