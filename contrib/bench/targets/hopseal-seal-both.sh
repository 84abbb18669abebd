# kind: proxy
# messages: plain
# expect: DKIM2-Signature:.*ed25519-sha256:
# about: hopseal, service outbound: seals with RSA-2048 and Ed25519
# startup: 40
. "$(dirname "$0")/../lib.sh"
hopseal_conf "$hopseal_outbound" "$(hopseal_key s1 "$W/msgs/s1.pem"), $(hopseal_ed25519)"
exec "$HOPSEAL" -f -c "$T/hopseal.conf"
