# kind: proxy
# messages: signed
# expect: Authentication-Results: bench\.example;.*dkim=pass.*spf=pass.*dmarc=pass
# about: hopseal, service inbound: judges DKIM2, DKIM, ARC, SPF and DMARC, writes Authentication-Results, built-in policy
# startup: 40
. "$(dirname "$0")/../lib.sh"
hopseal_conf 'service = "inbound"; verify = ["dkim2", "dkim", "arc", "spf", "dmarc"];'
exec "$HOPSEAL" -f -c "$T/hopseal.conf"
