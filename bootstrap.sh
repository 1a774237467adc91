#!/bin/sh
# SPDX-License-Identifier: MIT
#
# From a fresh checkout to a running service, or to passed tests, in one command.
set -eu
cd "$(dirname "$0")"

build=build
port=${PORT:-7777}

usage() {
	cat >&2 <<-END
	usage: ./bootstrap.sh build    install what is missing and build in ./$build
	       ./bootstrap.sh run      build, then serve echo on 127.0.0.1:7777 until Ctrl-C
	       ./bootstrap.sh check    build, then run all tests

	PORT=n in the environment makes "run" serve another port.
	END
	exit 64
}

die() {
	echo "bootstrap.sh: $*" >&2
	exit 1
}

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# need PACKAGE...: installs those of the Debian packages that are not there.
need() {
	command -v dpkg-query >/dev/null || {
		echo "bootstrap.sh: no dpkg here; this is taken as installed: $*" >&2
		return 0
	}
	missing=
	for package in "$@"; do
		case $(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null) in
		ii*) ;;
		*) missing="$missing $package" ;;
		esac
	done
	[ -n "$missing" ] || return 0
	as_root true 2>/dev/null ||
		die "these packages are missing, and only root can install them:$missing"
	echo "installing$missing"
	# A stale package list may still do, so its failure is left to the next command.
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -q update || :
	# shellcheck disable=SC2086 # a list of words
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends \
		install $missing
}

compile() {
	need autoconf automake gcc libc6-dev make pkg-config libsystemd-dev libconfig-dev "$@"
	[ -x configure ] || autoreconf -fi
	mkdir -p "$build"
	# From here on make itself runs autoconf and configure again when their input changes.
	[ -f "$build/Makefile" ] || (cd "$build" && ../configure)
	make -C "$build" -j"$(nproc)"
}

# listens ADDRESS...: whether one of the addresses, in the kernel's hexadecimal, listens on $port.
listens() {
	for address in "$@"; do
		awk -v local="$address:$(printf %04X "$port")" \
			'$2 == local && $4 == "0A" { found = 1 } END { exit !found }' \
			/proc/net/tcp /proc/net/tcp6 2>/dev/null && return 0
	done
	return 1
}

loopback=0100007F
any4=00000000
any6=00000000000000000000000000000000

# Tells how to try it as soon as the socket listens; ends with the shell it speaks for.
announce() {
	until listens $loopback; do
		kill -0 $$ 2>/dev/null || return 0
		sleep 0.05
	done
	echo "serving echo on 127.0.0.1:$port; try: echo hello | nc -N 127.0.0.1 $port (Ctrl-C ends it)"
}

run() {
	case $port in
	'' | 0* | *[!0-9]* | ??????*) die "PORT=$port is not a port number" ;;
	esac
	if listens $loopback $any4 $any6; then
		die "port $port is in use already; choose another one, as in PORT=7778 ./bootstrap.sh run"
	fi
	compile systemd netcat-openbsd
	(announce &)
	set -- --config "$PWD/etc/simple-server.conf"
	[ "$(id -u)" != 0 ] || set -- "$@" --allow-root
	exec systemd-socket-activate --listen="127.0.0.1:$port" --fdname=echo \
		"$PWD/$build/src/simple-server" "$@"
}

# Says why the tests under a real systemd cannot run here, or nothing.
no_container() {
	if [ "$(id -u)" != 0 ]; then
		echo "not root"
	elif ! command -v systemd-nspawn >/dev/null; then
		echo "systemd-nspawn is missing (systemd-container)"
	elif ! awk '$3 == "cgroup2" { found = 1 } END { exit !found }' /proc/mounts; then
		echo "no cgroup2 is mounted"
	fi
}

check() {
	# A build configured without cmocka has no unit tests: have it configured anew.
	if grep -qF 'S["HAVE_CMOCKA_FALSE"]=""' "$build/config.status" 2>/dev/null; then
		rm -f "$build/Makefile"
	fi
	compile systemd libcmocka-dev iproute2 netcat-openbsd socat
	status=0
	# Most of a test is waiting.
	make -C "$build" -j$(($(nproc) + 1)) check || status=1
	reason=$(no_container)
	if [ -n "$reason" ]; then
		echo "check-systemd: skipped, $reason"
	else
		make -C "$build" check-systemd || status=1
	fi
	return $status
}

[ $# = 1 ] || usage
case $1 in
build) compile ;;
run) run ;;
check) check ;;
*) usage ;;
esac
