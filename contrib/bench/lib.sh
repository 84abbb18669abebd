# Shared by the targets: writes hopseal.conf and becomes the daemon. HOPSEAL names the program.
#
#	hopseal_conf LISTENER-SETTINGS [KEY-ROWS]
#
# The benchmark gives PORT, SINK_PORT and T (README beside this file).
: "${HOPSEAL:?the hopseal program, build/src/hopseal for instance}"

hopseal_conf() {
	mkdir -p "$T/state" "$T/spool"
	cat >"$T/hopseal.conf" <<CONF
hostname = "bench.example";
workers  = ${HOPSEAL_WORKERS:-2};
user     = "root";
dns:   { resolver = "127.0.0.1"; trust-anchor = "none"; };
state: { dir = "$T/state"; };
spool: { dir = "$T/spool"; };
run:   { dir = "$T/run"; };
limits: { sessions = 2000; sessions-per-client = 2000; };
${2:+keys = ( $2 );}
listener: {
  bench: { address = ["127.0.0.1:$PORT"]; next-hop = "127.0.0.1:$SINK_PORT"; $1 };
};
policy: { all: { otherwise = "accept"; }; };
CONF
}

# Everything the benchmark's client sends comes from $CLIENT.
hopseal_signing='service = "outbound"; mode = "proxy"; clients = ["127.0.0.0/8", "'"$CLIENT"'"]; policy = "all";'
hopseal_queue='mode = "queue"; clients = ["127.0.0.0/8", "'"$CLIENT"'"]; policy = "all";'
hopseal_outbound="$hopseal_signing dkim = false;"

# hopseal_key SELECTOR FILE: a row for hopseal_conf
hopseal_key() {
	install -m 600 "$2" "$T/$1.pem"
	printf '{ domain = "bench.example"; selector = "%s"; file = "%s"; use = "active"; }' "$1" "$T/$1.pem"
}

hopseal_ed25519() {
	openssl genpkey -quiet -algorithm ed25519 -out "$T/made.pem"
	hopseal_key ed "$T/made.pem"
}
