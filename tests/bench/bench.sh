#!/bin/bash
# SPDX-License-Identifier: MIT
#
# bench.sh - simple-server beside its peers and beside the least server that can do the same
#
# usage: bench.sh [-A] [-r RUNS] [-t SECONDS] [-o SECTIONS] [-s SERVERS] [-w PREFIX] BUILD-DIRECTORY
#
#   -A  simple-server's place is taken by a second raw-epoll: what is printed then is the noise
#   -r  interleaved runs (15), -t length of each (0.7)
#   -o  only these of: echo echo16k churn discard chargen calls instructions memory balance client
#       proxy
#   -s  only these of: simple libevent libuv xinetd accept; raw is always there
#   -w  writes PREFIX.md, PREFIX.svg and PREFIX.tsv (benchmark)
#
# Prints a Markdown table: for each figure its median and in brackets the ratio to raw-epoll, what is
# asked of simple-server, ok or over. "over" is no failure: the exit status tells only whether the
# machine can measure at all.
#
#   bench.sh -r 1 -t 0.1 -o 'echo churn memory' BUILD-DIRECTORY    shows within a minute that it works
#
# The servers: raw-epoll, one thread with recv and send and nothing else, the base of all ratios;
# simple-server with one worker; a libevent bufferevent and a libuv stream (peer-*.c); xinetd's
# internal services; and what Accept=yes of systemd does, cat started by systemd-socket-activate. Who
# is not installed is named. TCP_NODELAY is on, but for the last, which has no way to ask for it, and
# for xinetd's chargen, which writes line by line and would be slower still.
#
# The load: simple-client, where it is built; echo-load for the servers with a process for each
# connection, since it counts the time of children too; stream-load for discard and chargen. That
# one drops in the kernel what chargen sends, where simple-client compares each byte, so that the
# server is what limits. The section client has simple-client itself beside echo-load.
#
# The section proxy has the handler forward beside systemd-socket-proxyd, HAProxy with one thread and
# nginx stream with one process, in front of raw-epoll, with tables of its own: the ratios are to
# socket-proxyd, and what is asked is asked of simple-server's part of each peer's figure.
#
# How to read it:
# - Everything runs in a network namespace of its own, with nothing but lo and with reno (bbr
#   paces). The servers have CPU 0, with all their processes, the client has CPU 1 (SERVER_CPU,
#   CLIENT_CPU).
# - All servers of a section stay up; the client visits them in turn, in an order that changes with
#   each run. A ratio is the median of the ratios within each run, which cancels drift: 15 runs are
#   good to 2 % on a quiet machine, and the table of spreads says how good they are on this one. On
#   a busy or shared one take more and shorter runs, and keep other processes away:
#   chrt -r 1 bench.sh -r 60 -t 0.15 ... Absolute times mean nothing elsewhere.
# - Not by chrt for discard and chargen: a real-time client that never sleeps keeps the kernel's own
#   network threads from their CPU, and all figures become those of the waiting.
# - CPU is the scheduler's run time of all threads of the server and its children, and the time of
#   those that have ended, between both ends of the window; the kernel's TCP work is in it. For
#   discard and chargen it is counted per GB (10^9 bytes); raw-epoll receives and sends blocks of
#   64 KiB.
# - At full load the client is busy too: rates compress the differences, CPU does not.
# - System calls and instructions are differences between a long and a short series of requests,
#   which cancel start and set-up; they are exact and repeatable where the times are not. strace
#   and callgrind slow the server down, so at 64 connections a wake-up brings a nearly full
#   batch. The count by perf is at full speed.
# - Memory is what the processes of the server have written (Private_Dirty of smaps_rollup), with
#   connections against none, after one echo over each; then with their part of shared pages.

# shellcheck disable=SC2317 # many functions are called by the name in an argument

set -u
export LC_ALL=C

sections='echo echo16k churn discard chargen calls instructions memory balance client proxy'
usage='usage: bench.sh [-A] [-r RUNS] [-t SECONDS] [-o SECTIONS] [-s SERVERS] [-w PREFIX] BUILD-DIRECTORY'

complain()
{
	echo "bench.sh: $*" >&2
}

die()
{
	complain "$*"
	exit 1
}

have() # COMMAND
{
	command -v "$1" >/dev/null || { note "$1 is not installed" && return 1; }
}

# In a namespace of its own: by root directly, by others as root of a user namespace.
if [ -z "${BENCH_NAMESPACE-}" ]; then
	map=()
	[ "$(id -u)" = 0 ] || map=(--map-root-user)
	BENCH_NAMESPACE=1 exec unshare "${map[@]}" --net -- "$0" "$@"
fi

runs=15 seconds=0.7 candidate=simple prefix=benchmark
servers='simple libevent libuv xinetd accept'
while getopts Ar:t:o:s:w: option; do
	case $option in
	A) candidate=again servers=again ;;
	r) runs=$OPTARG ;;
	t) seconds=$OPTARG ;;
	o) sections=$OPTARG ;;
	s) servers=$OPTARG ;;
	w) prefix=$OPTARG ;;
	*) echo "$usage" >&2 && exit 64 ;;
	esac
done
command_line=bench.sh
for argument in "${@:1:OPTIND-1}"; do
	[[ $argument == *' '* ]] && argument="'$argument'"
	command_line="$command_line $argument"
done
shift $((OPTIND - 1))
[ $# = 1 ] || { echo "$usage" >&2 && exit 64; }
build=$1

for argument in raw-epoll echo-load stream-load; do
	[ -x "$build/tests/bench/$argument" ] || die "$build/tests/bench/$argument is not built"
done

here=$(dirname "$0")
service='echo' # that the servers give
table=servers base=raw # where the figures of a section go, and whose are 1
server_cpu=${SERVER_CPU:-0} client_cpu=${CLIENT_CPU:-$(($(nproc --all) > 1))}
tmp=$(mktemp -d) || exit 1
results=$tmp/results

# The results, in lines of fields: what is known of the run, the columns of the tables, the rows, the
# cells. table.awk and chart.awk read them.
result()
{
	local IFS=$'\t'
	echo "$*" >>"$results"
}

# row ID WHAT DIGITS ratio|value RELATION GOAL [TABLE]: the goal is for the ratio or for the value
row()
{
	complain "$2"
	result row "${7:-$table}" "${@:1:6}"
}

# cell ROW COLUMN VALUE [RATIO SPREAD QUARTILES...]: as paired.awk says
cell()
{
	result cell "$@"
}

note()
{
	result note "$*"
}

# shellcheck source=tests/bench/servers.sh
. "$here/servers.sh"
# shellcheck source=tests/bench/load.sh
. "$here/load.sh"
# shellcheck source=tests/bench/timed.sh
. "$here/timed.sh"
# shellcheck source=tests/bench/exact.sh
. "$here/exact.sh"
# shellcheck source=tests/bench/held.sh
. "$here/held.sh"
# shellcheck source=tests/bench/client.sh
. "$here/client.sh"
# shellcheck source=tests/bench/proxy.sh
. "$here/proxy.sh"

trap 'stop_all; rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM

# The columns; who is not installed or does not serve is none.
choose_servers()
{
	local kind chosen=''
	for kind in $base $servers; do
		[ -n "${title[$kind]-}" ] || die "no such server: $kind"
		if ! installed "$kind"; then
			note "${title[$kind]}: ${program[$kind]##*/} is not there"
		elif start_server "$kind" 1 "$server_cpu"; then
			stop_server "$kind"
			chosen="$chosen $kind"
			result column "$table" "$kind" "${title[$kind]}" "$(version "$kind")"
		elif [ "$kind" = "$base" ] || [ "$kind" = "$candidate" ]; then
			die "without ${title[$kind]} there is nothing to compare"
		else
			note "${title[$kind]}: does not start"
		fi
	done
	servers=$chosen
}

steal() # ticks that others took, and all that were wanted
{
	awk '$1 == "cpu" { print $9, $2 + $3 + $4 + $7 + $8 + $9 }' /proc/stat
}

describe_machine()
{
	local cpu virtual
	cpu=$(sed -n 's/^model name[[:blank:]]*: //p' /proc/cpuinfo | head -n 1)
	virtual=$(systemd-detect-virt --vm 2>/dev/null) && cpu="$cpu, $virtual"
	result head machine "$(nproc --all) x ${cpu:-$(uname -m)}"
	result head kernel "$(uname -sr)"
	result head command "$command_line"
	result head runs "$runs x $seconds s"
	[ "$(nproc --all)" -ge 2 ] ||
		note 'one CPU only: client and servers share it, times are of little worth'
}

ip link set lo up || die "no ip(8): cannot set lo up"
echo reno >/proc/sys/net/ipv4/tcp_congestion_control 2>/dev/null
ulimit -n "$(ulimit -Hn)"

for section in $sections; do
	[ "$(type -t "section_$section")" = function ] || die "no such section: $section"
done
read -r stolen wanted <<<"$(steal)"
describe_machine
choose_servers
for section in $sections; do
	"section_$section"
done
read -r stolen_now wanted_now <<<"$(steal)"
result head stolen $((100 * (stolen_now - stolen) / (wanted_now - wanted + 1)))

awk -F'\t' -v candidate="$candidate" -f "$here/table.awk" "$results" | tee "$prefix.md"
awk -F'\t' -v candidate="$candidate" -f "$here/chart.awk" "$results" >"$prefix.svg"
cp "$results" "$prefix.tsv"
grep -q '^cell' "$results"
