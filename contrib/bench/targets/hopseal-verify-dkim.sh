# kind: proxy
# messages: signed
# expect: Authentication-Results: bench\.example;.*dkim=pass
# about: hopseal, service inbound: judges DKIM signatures alone
# startup: 40
. "$(dirname "$0")/../lib.sh"
hopseal_conf 'service = "inbound"; verify = ["dkim"]; policy = "all";'
exec "$HOPSEAL" -f -c "$T/hopseal.conf"
