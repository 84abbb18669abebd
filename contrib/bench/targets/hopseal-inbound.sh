# kind: proxy
# messages: signed
# expect: Authentication-Results: bench\.example;.*dkim2=none
# about: hopseal, service inbound: looks for a chain alone, writes Authentication-Results
# startup: 40
. "$(dirname "$0")/../lib.sh"
hopseal_conf 'service = "inbound"; verify = ["dkim2"]; policy = "all";'
exec "$HOPSEAL" -f -c "$T/hopseal.conf"
