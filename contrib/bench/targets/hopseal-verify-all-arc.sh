# kind: proxy
# messages: signed
# expect: ARC-Seal: i=1;[\s\S]*Authentication-Results: bench\.example;.*dkim=pass.*dmarc=pass
# about: hopseal, service inbound: judges by every mechanism and adds an ARC set, two signatures with RSA-2048
# startup: 40
. "$(dirname "$0")/../lib.sh"
hopseal_conf 'service = "inbound"; verify = ["dkim2", "dkim", "arc", "spf", "dmarc"]; arc-seal = "bench.example";' "$(hopseal_key s1 "$W/msgs/s1.pem")"
exec "$HOPSEAL" -f -c "$T/hopseal.conf"
