#!/bin/bash
# SPDX-License-Identifier: MIT
#
# check-systemd.sh BUILD_DIR [CASE...]
#
# Installs the built tree into a scratch directory, boots a container from this machine's own /usr
# with that on top, and lets a real systemd there start, stop, break and repair the installed units:
# see inside/. Prints TAP. LIVE, RATE, RESTARTS, RELOADS and KILLS in the environment change how much the
# cases of the hand-over do; NEXT is the build directory of another version, else the same program with
# another number stands for that. Exit status: 0 all fine, 1 not, 77 this machine cannot do it.
#
# Nothing of the machine is changed: the container has its own network, its / is a tmpfs and its
# /usr an overlay that cannot be written.
set -u
umask 022

readonly TIME_LIMIT=${TIME_LIMIT:-600}
here=$(cd "$(dirname "$0")" && pwd)

skip() {
	echo "1..0 # SKIP $*"
	exit 77
}

fail() {
	echo "Bail out! $*"
	exit 1
}

# --- what the machine must have -----------------------------------------------------------------

require() {
	[ "$(id -u)" = 0 ] || skip "not root"
	local tool
	for tool in systemd-nspawn systemctl timeout; do
		[ -n "$(command -v "$tool")" ] || skip "$tool is not installed"
	done
	cgroup2=$(findmnt -n -o TARGET -t cgroup2 | head -n 1)
	[ -n "$cgroup2" ] || skip "no cgroup2 is mounted"
	grep -qw overlay /proc/filesystems || modprobe -q overlay || skip "no overlay file system"
}

# A systemd needs a cgroup2 tree of its own; nspawn makes one of the cgroup that it is started in.
make_cgroup() {
	cgroup=$cgroup2/$name
	mkdir "$cgroup" 2>/dev/null || skip "cannot make a cgroup under $cgroup2"
}

# --- what is taken away in the end --------------------------------------------------------------

container=

remove_cgroup() {
	[ -d "$cgroup" ] || return
	# Ends what is in this cgroup and nothing else.
	grep -qs "populated 1" "$cgroup/cgroup.events" && echo 1 >"$cgroup/cgroup.kill"
	local tries
	for ((tries = 0; tries < 50; tries++)); do
		find "$cgroup" -depth -type d -exec rmdir {} \; 2>/dev/null
		[ -d "$cgroup" ] || return
		sleep 0.1
	done
	echo "# $cgroup could not be removed"
}

clean_up() {
	[ -n "$container" ] && kill "$container" 2>/dev/null && wait "$container" 2>/dev/null
	[ -n "${cgroup:-}" ] && remove_cgroup
	rmdir "/run/systemd/nspawn/propagate/$name" 2>/dev/null
	rm -rf "$scratch"
}

# --- the installed tree -------------------------------------------------------------------------

install_tree() {
	local stage=$scratch/stage
	mkdir "$stage"
	if ! "${MAKE:-make}" -C "$build" install DESTDIR="$stage" >"$scratch/install.log" 2>&1; then
		sed 's/^/# /' "$scratch/install.log"
		fail "make install failed"
	fi
	# /lib is a link into /usr on every machine that this can run on.
	[ ! -d "$stage/lib" ] || cp -a "$stage/lib" "$stage/usr/" || fail "cannot copy $stage/lib"
	binds=(--overlay-ro="/usr:$stage/usr:/usr")
	local file
	while read -r file; do
		binds+=(--bind-ro="$stage$file:$file")
	done < <(cd "$stage" && find . -path ./usr -prune -o -path ./lib -prune -o -type f -print |
		sed 's/^\.//')

	config=$(cd "$stage" && find . -path '*/etc/simple-server.conf' | sed 's/^\.//')
	service=$(cd "$stage" && find . -path ./lib -prune -o -name simple-server.service -print |
		sed 's/^\.//')
	[ -n "$config" ] || fail "make install installs no simple-server.conf"
	case $service in
	/etc/systemd/system/* | /usr/lib/systemd/system/* | /usr/local/lib/systemd/system/*) ;;
	'') fail "make install installs no simple-server.service" ;;
	*) skip "configured for $service, where systemd does not look" ;;
	esac
}

# --- the container ------------------------------------------------------------------------------

make_next() {
	if [ -n "${NEXT:-}" ]; then
		cp "$NEXT/src/simple-server" "$scratch/out/next"
	else
		LC_ALL=C sed 's/simple-server [0-9]*\.[0-9]*\.[0-9]/simple-server 9.9.9/' \
			"$build/src/simple-server" >"$scratch/out/next"
	fi && chmod 755 "$scratch/out/next"
}

# An /etc with a machine-id is not booted for the first time, which would enable all units of the
# machine; users of DynamicUser= have names only with nss-systemd.
make_etc() {
	mkdir "$scratch/etc" "$scratch/out"
	# A module that can hang, for the cases that need one; as root's, wherever the build is.
	install -m 644 "$build/tests/modules/stuck.so" "$scratch/out/" || fail "no tests/modules/stuck.so"
	make_next || fail "no other version"
	tr -d - </proc/sys/kernel/random/uuid >"$scratch/etc/machine-id"
	echo 'passwd: files systemd' >"$scratch/etc/nsswitch.conf"
	echo '127.0.0.1 localhost' >"$scratch/etc/hosts"
	printf '%s\n' "CONFIG=$config" "SERVICE=$service" "CASES=$*" \
		"LIVE=${LIVE:-300}" "RATE=${RATE:-100}" "RESTARTS=${RESTARTS:-3}" \
		"RELOADS=${RELOADS:-5}" "KILLS=${KILLS:-2}" \
		>"$scratch/out/environment"
}

# Runs in the background, as nspawn itself: the shell moves into the cgroup, then becomes nspawn.
boot() {
	echo "$BASHPID" >"$cgroup/cgroup.procs" || exit 1
	export UNIFIED_CGROUP_HIERARCHY=1
	exec timeout --kill-after=5 "$TIME_LIMIT" systemd-nspawn --quiet \
		--directory=/ --volatile=yes --boot --machine="$name" \
		--register=no --keep-unit --private-network --link-journal=no --console=read-only \
		"${binds[@]}" \
		--bind-ro="$scratch/etc/machine-id:/etc/machine-id" \
		--bind-ro="$scratch/etc/nsswitch.conf:/etc/nsswitch.conf" \
		--bind-ro="$scratch/etc/hosts:/etc/hosts" \
		--bind-ro="$here/inside:/check" --bind="$scratch/out:/out" \
		--bind-ro="$here/units/check.service:/run/systemd/system/check.service" \
		--bind-ro="$here/units/check.target:/run/systemd/system/check.target" \
		systemd.firstboot=off systemd.unit=check.target \
		</dev/null >"$scratch/out/console" 2>&1
}

show_console() {
	echo "# the container ended with $1; its console:"
	sed 's/\x1b\[[0-9;?]*[a-zA-Z]//g; s/^/# /' "$scratch/out/console" | tail -n 30
}

run() {
	boot &
	container=$!
	wait "$container"
	local status=$?
	container=
	[ ! -e "$scratch/out/tap" ] || cat "$scratch/out/tap"
	[ $status = 0 ] && grep -qs '^1\.\.[1-9]' "$scratch/out/tap" && return 0
	grep -qs '^1\.\.' "$scratch/out/tap" && return 1
	show_console $status
	fail "no result; the limit is $TIME_LIMIT s"
}

[ $# -ge 1 ] || {
	echo "usage: $0 BUILD_DIR [CASE...]" >&2
	exit 64
}
build=$1
shift
require
[ -e "$build/Makefile" ] || fail "$build has no Makefile"
name=check-simple-server-$$
scratch=$(mktemp -d "${TMPDIR:-/tmp}/$name.XXXXXX") || exit 1
trap clean_up EXIT
trap 'exit 1' HUP INT TERM
make_cgroup
install_tree
make_etc "$@"
run
