# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2086,SC2154
#
# What the running process may do, and what `systemd-analyze security` says of its unit.

status_field() {
	sed -n "s/^$1:[[:space:]]*//p" "/proc/$pid/status"
}

of_its_own() { # of_its_own NAMESPACE
	[ "$(readlink "/proc/$pid/ns/$1")" != "$(readlink "/proc/1/ns/$1")" ]
}

start_socket
ok "it serves" serves
pid=$(main_pid)

read -r uid _ < <(status_field Uid)
ok "its user is a dynamic one ($uid)" test "$uid" -ge 61184 -a "$uid" -le 65519
is "$(status_field CapBnd)" 0000000000000000 "no capability can be had"
is "$(status_field CapEff)" 0000000000000000 "none is there"
is "$(status_field NoNewPrivs)" 1 "no new privileges"
is "$(status_field Seccomp)" 2 "system calls are filtered"
ok "a network of its own, and yet it serves" of_its_own net
ok "users of its own" of_its_own user
ok "mounts of its own" of_its_own mnt
like "$(sed -n 's/^Max open files *//p' "/proc/$pid/limits")" '^[0-9]{5}' "many file descriptors"
like "$(sed -n 's/^Max core file size *//p' "/proc/$pid/limits")" '^0 ' "no core file"

# The threshold is in tenths.
exposure_is_low() {
	systemd-analyze security --no-pager --threshold=2 "$@" >/run/check/security ||
		{
			note </run/check/security
			return 1
		}
}
ok "exposure of the running unit is 0.2 at most" exposure_is_low simple-server.service
ok "exposure of the installed file is 0.2 at most" exposure_is_low --offline=true "$SERVICE"

units_are_clean() {
	systemd-analyze verify --man=no "$SERVICE" "${SERVICE%.service}.socket" \
		>/run/check/verify 2>&1 && [ ! -s /run/check/verify ] && return
	note </run/check/verify
	return 1
}
ok "systemd-analyze verify has nothing to say" units_are_clean
