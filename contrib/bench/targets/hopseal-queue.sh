# kind: queue
# messages: plain
# about: hopseal, mode queue, nothing sealed: into the spool with real syncs, and on to the sink
# startup: 40
. "$(dirname "$0")/../lib.sh"
hopseal_conf "$hopseal_queue service = \"pass\";"
exec "$HOPSEAL" -f -c "$T/hopseal.conf"
