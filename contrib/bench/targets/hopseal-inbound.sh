# kind: proxy
# messages: signed
# expect: Authentication-Results: bench\.example;.*dkim2=none
# about: hopseal, service inbound: looks for a chain, writes Authentication-Results
# startup: 40
. "$(dirname "$0")/../lib.sh"
hopseal_conf 'service = "inbound"; policy = "all";'
exec "$HOPSEAL" -f -c "$T/hopseal.conf"
