# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What is looked at while connections are held: memory, and the balance between workers. Sourced by
# bench.sh.

# shellcheck disable=SC2034 # $service is for those that are called
# shellcheck disable=SC2154 # $tmp, $server_cpu, $candidate, and $servers, those to measure

# smaps FIELD SERVER: bytes, of the children too
smaps()
{
	local child
	for child in "${pid[$2]}" $(children "$2"); do
		cat "/proc/$child/smaps_rollup" 2>/dev/null
	done | awk -v field="$1:" '$1 == field { sum += $2 } END { print sum * 1024 }'
}

# footprint SERVER: "PRIVATE-BYTES PROPORTIONAL-BYTES"
footprint()
{
	echo "$(smaps Private_Dirty "$1") $(smaps Pss "$1")"
}

memory() # SERVER CONNECTIONS: private and proportional bytes per connection
{
	local before after
	start_server "$1" 1 "$server_cpu" || return
	before=$(footprint "$1")
	after=$(load_held "$1" "$2" footprint "$1")
	stop_server "$1"
	[ -n "$after" ] && awk -v n="$2" -v before="$before" -v after="$after" 'BEGIN {
		split(before, b); split(after, a)
		printf "%.0f %.0f\n", (a[1] - b[1]) / n, (a[2] - b[2]) / n
	}'
}

section_memory()
{
	local service='echo' kind private proportional many few=200
	many=$((($(ulimit -n) - 100) < 10000 ? $(ulimit -n) - 100 : 10000))
	row private "private bytes per idle connection, $many held ($few where each is a process)" \
		0 value '<=' 192
	row pss 'the same with their part of what processes share (PSS)' 0 value '<=' ''
	for kind in $servers; do
		read -r private proportional <<<"$(memory "$kind" "$(forks "$kind" && echo "$few" || echo "$many")")"
		[ -n "$proportional" ] || continue
		cell private "$kind" "$private"
		cell pss "$kind" "$proportional"
	done
}

# Entries of each epoll instance; one line for each, in the order of the descriptors.
epoll_entries() # SERVER
{
	local fd
	for fd in "/proc/${pid[$1]}"/fd/*; do
		[ "$(readlink "$fd")" = 'anon_inode:[eventpoll]' ] &&
			grep -c '^tfd:' "${fd/\/fd\//\/fdinfo\/}"
	done
}

balance() # SERVER WORKERS CONNECTIONS: the part of the busiest, in per cent
{
	start_server "$1" "$2" "0-$(($(nproc --all) - 1))" || return
	epoll_entries "$1" >"$tmp/before"
	load_held "$1" "$3" epoll_entries "$1" >"$tmp/after"
	stop_server "$1"
	paste "$tmp/before" "$tmp/after" |
		awk '{ n = $2 - $1; sum += n; if (n > max) max = n }
			END { if (sum) printf "%.1f", 100 * max / sum }'
}

section_balance()
{
	local service='echo' share
	[ "$candidate" = simple ] || return
	row balance 'busiest of 4 workers, 512 connections, %' 1 value '<=' 27
	share=$(balance simple 4 512) && cell balance simple "$share"
}
