# kind: proxy
# messages: plain
# expect: Subject:
# about: hopseal, service pass: nothing checked, nothing added
# startup: 40
. "$(dirname "$0")/../lib.sh"
hopseal_conf 'service = "pass"; policy = "all";'
exec "$HOPSEAL" -f -c "$T/hopseal.conf"
