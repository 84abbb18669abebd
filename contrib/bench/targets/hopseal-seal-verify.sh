# kind: proxy
# messages: plain
# expect: dkim2=pass
# about: two hopseals in a row: outbound seals with RSA-2048, inbound verifies it (their costs add up)
# startup: 40
. "$(dirname "$0")/../lib.sh"
own=$T
T=$own/inbound PORT=$((PORT + 1))
mkdir -p "$T"
hopseal_conf 'service = "inbound"; verify = ["dkim2"]; policy = "all";'
"$HOPSEAL" -f -c "$T/hopseal.conf" &
SINK_PORT=$PORT PORT=$((PORT - 1)) T=$own
hopseal_conf "$hopseal_outbound" "$(hopseal_key s1 "$W/msgs/s1.pem")"
exec "$HOPSEAL" -f -c "$T/hopseal.conf"
