# kind: queue
# messages: plain
# expect: DKIM2-Signature:.*s1:rsa-sha256:
# about: hopseal, mode queue, each copy sealed with RSA-2048
# startup: 40
. "$(dirname "$0")/../lib.sh"
hopseal_conf "$hopseal_queue service = \"outbound\"; dkim = false;" "$(hopseal_key s1 "$W/msgs/s1.pem")"
exec "$HOPSEAL" -f -c "$T/hopseal.conf"
