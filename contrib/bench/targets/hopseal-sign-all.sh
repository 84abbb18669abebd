# kind: proxy
# messages: plain
# expect: DKIM-Signature:[\s\S]*DKIM2-Signature:
# about: hopseal, service outbound: signs with DKIM and seals, each with RSA-2048
# startup: 40
. "$(dirname "$0")/../lib.sh"
hopseal_conf "$hopseal_signing" "$(hopseal_key s1 "$W/msgs/s1.pem")"
exec "$HOPSEAL" -f -c "$T/hopseal.conf"
