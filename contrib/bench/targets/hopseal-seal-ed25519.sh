# kind: proxy
# messages: plain
# expect: DKIM2-Signature:.*ed:ed25519-sha256:
# about: hopseal, service outbound: seals with Ed25519
# startup: 40
. "$(dirname "$0")/../lib.sh"
hopseal_conf "$hopseal_outbound" "$(hopseal_ed25519)"
exec "$HOPSEAL" -f -c "$T/hopseal.conf"
