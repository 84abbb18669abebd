# need.sh - Debian packages that a script wants, installed when they are missing. Sourced by bash.
#
# need_packages WHY PACKAGE...     installs what is missing, starts no service; exits 69 when it cannot
# Sets need_installed to the packages it installed now (empty: nothing was missing).

# How to find a package's content on a system without dpkg: a command, a pkg-config module or a Python module.
need_probe() {
	case $1 in
	libc6-dev | libclang-rt-14-dev | dns-root-data) return 0 ;;
	ninja-build) command -v ninja >/dev/null ;;
	libssl-dev) pkg-config --exists libcrypto libssl ;;
	libevent-dev) pkg-config --exists libevent_core ;;
	libjansson-dev) pkg-config --exists jansson ;;
	nettle-dev) pkg-config --exists hogweed ;;
	lib*-dev) pkg-config --exists "${1%-dev}" ;;
	libnet-ssleay-perl) perl -MNet::SSLeay -e 1 2>/dev/null ;;
	libopendkim11) ldconfig -p | grep -q 'libopendkim\.so\.11' ;;
	libmail-dkim-perl) perl -MMail::DKIM -e 1 2>/dev/null ;;
	python3-*) /usr/bin/python3 -c "import ${1#python3-}" 2>/dev/null ;;
	unbound) PATH=$PATH:/usr/sbin command -v unbound >/dev/null ;;
	postfix) PATH=$PATH:/usr/sbin command -v postfix >/dev/null ;;
	llvm) command -v llvm-symbolizer >/dev/null ;;
	ldnsutils) command -v ldns-signzone >/dev/null ;;
	procps) command -v ps >/dev/null ;;
	*) command -v "$1" >/dev/null ;;
	esac
}

need_missing() {
	local p
	for p; do
		if [ -n "$need_dpkg" ]; then
			case $(dpkg-query -W -f '${db:Status-Abbrev}' "$p" 2>/dev/null) in
			?i*) ;;
			*) echo "$p" ;;
			esac
		else
			need_probe "$p" || echo "$p"
		fi
	done
}

# Another mail server would have to go for Postfix: not on somebody's machine.
need_other_mta() {
	dpkg-query -W -f '${db:Status-Abbrev} ${Package} ${Provides}\n' |
		awk '$1 == "ii" && $2 != "postfix" && / mail-transport-agent/ { print $2; exit }'
}

need_policy=/usr/sbin/policy-rc.d

need_packages() {
	local why=$1 as='' mta='' p
	local -a miss
	shift
	need_dpkg=
	need_installed=
	[ -e /etc/debian_version ] && command -v dpkg-query >/dev/null && need_dpkg=yes
	mapfile -t miss < <(need_missing "$@")
	if [ -n "$need_dpkg" ] && [[ " ${miss[*]} " == *' postfix '* ]]; then
		mta=$(need_other_mta)
		if [ -n "$mta" ]; then
			echo "Postfix would replace $mta: not installed, the tests that want it are skipped."
			mapfile -t miss < <(printf '%s\n' "${miss[@]}" | grep -vx postfix)
		fi
	fi
	[ "${#miss[@]}" -gt 0 ] || return 0
	[ -n "${miss[0]}" ] || return 0
	if [ -z "$need_dpkg" ]; then
		echo "$why needs packages that are missing here. This is no Debian, so install them yourself; by their Debian names:" >&2
		printf '  %s\n' "${miss[@]}" >&2
		exit 69
	fi
	if [ "$(id -u)" != 0 ]; then
		as=sudo
		if ! command -v sudo >/dev/null; then
			echo "$why needs packages that are missing here, and neither root nor sudo is at hand. As root:" >&2
			echo "  apt-get install --no-install-recommends ${miss[*]}" >&2
			exit 69
		fi
	fi
	echo "$why installs Debian packages that are missing (apt-get, no service is started): ${miss[*]}"
	for p in "${miss[@]}"; do
		[ "$p" = postfix ] && echo 'postfix postfix/main_mailer_type select No configuration' | $as debconf-set-selections
	done
	if [ ! -e $need_policy ]; then
		trap '$as rm -f $need_policy' EXIT
		printf '#!/bin/sh\nexit 101\n' | $as tee $need_policy >/dev/null
		$as chmod 755 $need_policy
	fi
	$as env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120 update >/dev/null ||
		echo "apt-get update failed, going on with the lists at hand" >&2
	if ! $as env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=120 \
		install --no-install-recommends "${miss[@]}"; then
		echo "$why: apt-get could not install: ${miss[*]}" >&2
		exit 69
	fi
	if [ -n "$(trap -p EXIT)" ]; then
		$as rm -f $need_policy
		trap - EXIT
	fi
	# A server that came for the tests shall not come up at the next boot either.
	for p in "${miss[@]}"; do
		case $p in
		postfix | unbound) command -v systemctl >/dev/null && $as systemctl --quiet disable "$p" 2>/dev/null ;;
		esac
	done
	need_installed=${miss[*]}
}

# What every build needs. libunbound.pc asks for nettle, whose package libunbound-dev only recommends.
need_build='gcc libc6-dev meson ninja-build pkg-config libevent-dev libssl-dev libunbound-dev nettle-dev libjansson-dev libconfig-dev libidn2-dev libseccomp-dev dns-root-data'
