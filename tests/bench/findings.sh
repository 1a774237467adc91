#!/bin/bash
# SPDX-License-Identifier: MIT
#
# findings.sh - what the kernel does with the sockets of a server, and what each choice is worth
#
# usage: findings.sh [-r RUNS] [-t SECONDS] [-o QUESTION]... PROGRAMS_DIR
#
#   -o  only this question, or these: nagle defer reuseport accept trigger timewait ports inherit
#       keepalive reuseaddr calls
#   -r  interleaved runs where times are compared (9), -t length of each (0.3)
#
# PROGRAMS_DIR is the build directory: src/simple-server, src/simple-client, tests/bench/lab and
# tests/bench/facts. Prints a Markdown table for each question. simple-server-sockets(7) has the
# answers, and what follows from them.
#
# How to read it:
# - Everything runs in a network namespace of its own, with nothing but lo and with reno (bbr
#   paces). Servers of one thread have CPU 0, the client has CPU 1.
# - Calls, who resets, who waits how long: exact, the same on a busy machine.
# - Sleeps are the voluntary context switches of the server: each is a wake-up that it needed. A
#   server that has to wait for its CPU sleeps less: on a busy machine run it all by chrt -r 1.
# - CPU is the scheduler's run time of the server, the kernel's TCP work included. Servers that are
#   compared stay up together and are visited in turn; a ratio is the median of the ratios within
#   each turn. On a busy machine 9 turns are good to 10 %: take -r 41.

# shellcheck disable=SC2317 # questions are called by name

set -u
export LC_ALL=C

runs=9 seconds=0.3
questions=()
known=(nagle defer reuseport accept trigger timewait ports inherit keepalive reuseaddr calls)

die()
{
	echo "findings.sh: $*" >&2
	exit 1
}

usage()
{
	echo "usage: findings.sh [-r RUNS] [-t SECONDS] [-o QUESTION]... PROGRAMS_DIR" >&2
	echo "questions: ${known[*]}" >&2
	exit 64
}

# In a namespace of its own: by root directly, by others as root of a user namespace.
if [ -z "${FINDINGS_NAMESPACE-}" ]; then
	map=()
	[ "$(id -u)" = 0 ] || map=(--map-root-user)
	FINDINGS_NAMESPACE=1 exec unshare "${map[@]}" --net -- "$0" "$@"
fi

while getopts r:t:o: option; do
	case $option in
	r) runs=$OPTARG ;;
	t) seconds=$OPTARG ;;
	o) read -ra words <<<"$OPTARG" && questions+=("${words[@]}") ;;
	*) usage ;;
	esac
done
shift $((OPTIND - 1))
[ $# = 1 ] || usage
[ ${#questions[@]} -gt 0 ] || questions=("${known[@]}")
for question in "${questions[@]}"; do
	[[ " ${known[*]} " == *" $question "* ]] || usage
done

simple_server=$1/src/simple-server
simple_client=$1/src/simple-client
lab=$1/tests/bench/lab
facts=$1/tests/bench/facts
for program in "$simple_server" "$simple_client" "$lab" "$facts"; do
	[ -x "$program" ] || die "$program is missing"
done

last_cpu=$(($(nproc --all) - 1))
client_cpu=$((last_cpu > 0))
tmp=$(mktemp -d) || exit 1
declare -A pid=() port=() out=()
next_port=7001

stop_all()
{
	local kind
	for kind in "${!pid[@]}"; do
		kill "${pid[$kind]}" 2>/dev/null
	done
	rm -rf "$tmp"
}
trap stop_all EXIT
trap 'exit 130' INT TERM

ip link set lo up || die "no ip(8): cannot set lo up"
echo reno >/proc/sys/net/ipv4/tcp_congestion_control 2>/dev/null
ulimit -n "$(ulimit -Hn)"

# ---- servers

# start_lab KIND CPUS OPTION...
start_lab()
{
	local kind=$1 cpus=$2 fd
	shift 2
	port[$kind]=$((next_port++))
	exec {fd}< <(exec taskset -c "$cpus" "$lab" --port "${port[$kind]}" "$@")
	pid[$kind]=$! out[$kind]=$fd
	read -r _ <&"$fd" || die "lab $* does not start"
}

wait_for_port()
{
	local i
	for ((i = 0; i < 200; i++)); do
		ss -Hltn "sport = :$1" | grep -q . && return
		sleep 0.05
	done
	die "nobody listens on port $1"
}

# start_simple KIND CPUS WORKERS HANDLER OPTIONS: has the options as they stand in the file
start_simple()
{
	local kind=$1 name=$4
	port[$kind]=$((next_port++))
	cat >"$tmp/$kind.conf" <<-END
		workers = $3;
		sockets = ( {
			name = "$name";
			handler = "$name";
			log: { connections = false; };
			options: { $5 };
		} );
	END
	taskset -c "$2" systemd-socket-activate -l "127.0.0.1:${port[$kind]}" --fdname="$name" -- \
		"$simple_server" --config "$tmp/$kind.conf" --allow-root >"$tmp/$kind.log" 2>&1 &
	pid[$kind]=$!
	out[$kind]=
	wait_for_port "${port[$kind]}"
	load "$kind" --mode "$name" --count 1 || {
		cat "$tmp/$kind.log" >&2
		die "simple-server does not serve $name"
	}
}

# stop_server KIND: what lab has counted is in $tmp/KIND.counts
stop_server()
{
	local fd=${out[$1]}
	kill "${pid[$1]}"
	if [ -n "$fd" ]; then
		cat <&"$fd" >"$tmp/$1.counts"
		exec {fd}<&-
	else
		wait "${pid[$1]}" 2>/dev/null
	fi
	unset "pid[$1]"
}

# counted KIND NAME: of a lab that has stopped
counted()
{
	tr ' ' '\n' <"$tmp/$1.counts" | sed -n "s/^$2=//p"
}

# Voluntary context switches of all threads so far.
sleeps()
{
	awk '/^voluntary_ctxt_switches:/ { n += $2 } END { print n }' "/proc/${pid[$1]}"/task/*/status
}

# The connections of each thread, by what its epoll has; a line for each.
entries()
{
	local fd
	for fd in "/proc/${pid[$1]}"/fd/*; do
		[ "$(readlink "$fd")" = 'anon_inode:[eventpoll]' ] &&
			grep -c '^tfd:' "${fd/\/fd\//\/fdinfo\/}"
	done
}

# ---- the client

# load KIND ARGUMENT...: its result is in $tmp/result
load()
{
	taskset -c "$client_cpu" "$simple_client" --quiet --json "${@:2}" "127.0.0.1:${port[$1]}" \
		>"$tmp/result" 2>"$tmp/errors" </dev/null
}

# result NAME: a number of the last load
result()
{
	sed -n "s/^ *\"$1\": \([0-9.]*\),*$/\1/p" "$tmp/result" | head -n 1
}

# hold KIND CONNECTIONS COMMAND...: runs it while the server has them
hold()
{
	local client held i
	entries "$1" >"$tmp/before"
	taskset -c "$client_cpu" "$simple_client" --quiet --mode idle --connections "$2" \
		--duration 60 "127.0.0.1:${port[$1]}" >"$tmp/result" 2>&1 </dev/null &
	client=$!
	for ((i = 0; i < 200; i++)); do
		sleep 0.05
		entries "$1" >"$tmp/after"
		held=$(paste "$tmp/before" "$tmp/after" | awk '{ n += $2 - $1 } END { print n }')
		[ "$held" -lt "$2" ] || break
	done
	[ "$held" -lt "$2" ] || "${@:3}"
	kill "$client" 2>/dev/null
	wait "$client" 2>/dev/null
	[ "$held" -ge "$2" ] || die "only $held of $2 connections: $(cat "$tmp/result")"
}

# ---- figures

calculate() # DIGITS EXPRESSION
{
	awk "BEGIN { printf \"%.$1f\", $2 }"
}

# The middle one of the numbers in a file.
median()
{
	sort -g "$1" | awk '{ v[NR] = $1 } END { n = int((NR + 1) / 2); print (v[n] + v[NR - n + 1]) / 2 }'
}

range() # DIGITS FILE
{
	sort -g "$2" | awk -v d="$1" 'NR == 1 { low = $1 } END { printf "%.*f to %.*f", d, low, d, $1 }'
}

# compare FILE KIND... -- ARGUMENT...: visits the servers in turn. FILE.KIND gets the processor time
# per request in microseconds, FILE.KIND.ratio the ratio to the first, FILE.KIND.rate the requests
# per second, FILE.KIND.requests how many there were in all.
compare()
{
	local file=$1 kinds=() i j kind n
	local -A cpu=()
	shift
	while [ "$1" != -- ]; do
		kinds+=("$1")
		shift
	done
	shift
	n=${#kinds[@]}
	rm -f "$file".*
	for ((i = 0; i < runs; i++)); do
		for ((j = 0; j < n; j++)); do
			kind=${kinds[$(((i + j) % n))]}
			load "$kind" --duration "$seconds" --server-pid "${pid[$kind]}" "$@" ||
				die "$(cat "$tmp/errors")"
			cpu[$kind]=$(calculate 3 "$(result server_cpu_ns) / $(result requests) / 1000")
			result requests >>"$file.$kind.requests"
			result requests_per_second >>"$file.$kind.rate"
			echo "${cpu[$kind]}" >>"$file.$kind"
		done
		for kind in "${kinds[@]}"; do
			calculate 4 "${cpu[$kind]} / ${cpu[${kinds[0]}]}" >>"$file.$kind.ratio"
			echo >>"$file.$kind.ratio"
		done
	done
}

sum()
{
	awk '{ n += $1 } END { print n }' "$1"
}

# ---- the questions

# ask QUESTION: in a namespace without the TIME_WAIT of the others
ask()
{
	# shellcheck disable=SC2016 # for the inner shell
	unshare --net -- sh -c 'ip link set lo up && exec "$@"' sh "$facts" "$1" || die "facts $1"
}

nagle_row() # WHAT SERVER_OPTIONS CLIENT_OPTIONS
{
	local server client
	read -ra server <<<"$2"
	read -ra client <<<"$3"
	start_lab nagle 0 "${server[@]}"
	load nagle --count 30 "${client[@]}"
	echo "| $1 | $(calculate 2 "$(result p50) / 1e6") |"
	stop_server nagle
}

nagle()
{
	local on='--option tcp_nodelay=true' off='--option tcp_nodelay=false' value
	echo '| a request of 64 bytes and its answer, one connection | p50, ms |'
	echo '|---|---|'
	nagle_row 'one send() each, Nagle' '--nodelay no' "$off"
	nagle_row 'one send() each, TCP_NODELAY' '--nodelay yes' "$on"
	nagle_row 'client sends in two, Nagle' '--whole 64' "--writes 2 $off"
	nagle_row 'client sends in two, Nagle, TCP_QUICKACK after each recv()' \
		'--whole 64 --quickack read' "--writes 2 $off"
	nagle_row 'client sends in two, Nagle, TCP_QUICKACK after each answer' \
		'--whole 64 --quickack answer' "--writes 2 $off"
	nagle_row 'client sends in two, TCP_NODELAY' '--whole 64' "--writes 2 $on"
	nagle_row 'server answers in two, Nagle' '--answer two --nodelay no' "$on"
	nagle_row 'server answers in two, TCP_NODELAY' '--answer two' "$on"
	nagle_row 'server answers in two, Nagle, MSG_MORE' '--answer more --nodelay no' "$on"
	nagle_row 'server answers in two, Nagle, TCP_CORK on and off' '--answer cork --nodelay no' "$on"
	nagle_row 'server answers in two, TCP_CORK from the listener' '--answer corked' "$on"
	for value in false true; do
		start_simple "nodelay_$value" 0 1 echo "tcp_nodelay = $value;"
		load "nodelay_$value" --count 30 --writes 2 --option tcp_nodelay=true
		echo "| simple-server, tcp_nodelay = $value, client sends in two |" \
			"$(calculate 2 "$(result p50) / 1e6") |"
		stop_server "nodelay_$value"
	done
}

# defer_row WHAT ARGUMENT...: of the servers defer_0 and defer_1
defer_row()
{
	local what=$1 kind before connections
	shift
	for kind in defer_0 defer_1; do
		before=$(sleeps "$kind")
		load "$kind" "$@" || die "$(cat "$tmp/errors")"
		connections=$(result requests)
		calculate 2 "($(sleeps "$kind") - $before) / $connections" >"$tmp/$kind"
	done
	echo "| $what | $(cat "$tmp/defer_0") | $(cat "$tmp/defer_1") |"
}

# At a rate, a request begins on a connection that was made long before.
defer_rows() # WHAT
{
	defer_row "$1, client sends at once" --mode churn --count 2000
	defer_row "$1, client sends later" --mode echo --connections 200 --connecting 1 \
		--rate 400 --count 200
}

defer()
{
	ask defer
	echo
	echo '| sleeps of the server for each connection, TCP_DEFER_ACCEPT | 0 | 1 |'
	echo '|---|---|---|'
	start_lab defer_0 0 --defer 0
	start_lab defer_1 0 --defer 1
	defer_rows lab
	compare "$tmp/defer" defer_0 defer_1 -- --mode churn
	stop_server defer_0
	stop_server defer_1
	start_simple defer_0 0 1 echo 'tcp_defer_accept = 0;'
	start_simple defer_1 0 1 echo 'tcp_defer_accept = 1;'
	defer_rows simple-server
	stop_server defer_0
	stop_server defer_1
	echo "| lab, CPU us for each connection | $(calculate 1 "$(median "$tmp/defer.defer_0")") |" \
		"$(calculate 1 "$(median "$tmp/defer.defer_1")")," \
		"ratio $(calculate 2 "$(median "$tmp/defer.defer_1.ratio")") |"
}

reuseport()
{
	ask siblings
}

# The part of the busiest thread, in per cent, of the connections that are open.
busiest_part()
{
	paste "$tmp/before" "$tmp/after" | awk '{ n = $2 - $1; sum += n; if (n > max) max = n }
		END { if (sum) printf "%.0f\n", 100 * max / sum }'
}

start_acceptor() # HOW
{
	if [ "$1" = simple-server ]; then
		start_simple "$1" "0-$last_cpu" 4 echo ''
	else
		start_lab "$1" "0-$last_cpu" --threads 4 --accept "$1"
	fi
}

# Sets `busiest`. Each run has a server of its own.
busiest_of() # HOW CONNECTIONS
{
	local i
	rm -f "$tmp/busiest"
	for ((i = 0; i < runs; i++)); do
		start_acceptor "$1"
		hold "$1" "$2" busiest_part >>"$tmp/busiest"
		stop_server "$1"
	done
	busiest="$(calculate 0 "$(median "$tmp/busiest")") ($(range 0 "$tmp/busiest"))"
}

accept()
{
	local how busiest busiest_64 before woken vain given
	echo '| 4 threads | busiest of 64, % | busiest of 512, % | 500 one by one: served by' \
		'| sleeps for each | accept4() in vain, % |'
	echo '|---|---|---|---|---|---|'
	for how in shared exclusive placed reuseport handover simple-server; do
		busiest_of "$how" 64
		busiest_64=$busiest
		busiest_of "$how" 512
		start_acceptor "$how"
		before=$(sleeps "$how")
		load "$how" --mode churn --count 500 --rate 500 || die "$(cat "$tmp/errors")"
		woken=$(calculate 2 "($(sleeps "$how") - $before) / $(result connects)")
		stop_server "$how"
		vain=- given=-
		if [ "$how" != simple-server ]; then
			vain=$(calculate 1 "100 * $(counted "$how" vain) / 500")
			given=$(counted "$how" balance)
		fi
		echo "| $how | $busiest_64 | $busiest | $given | $woken | $vain |"
	done
}

trigger_rows() # CONNECTIONS BYTES
{
	local triggers=(level edge edge-drain oneshot) kind n
	for kind in "${triggers[@]}"; do
		start_lab "$kind" 0 --trigger "$kind"
	done
	compare "$tmp/trigger" "${triggers[@]}" -- --connections "$1" --size "$2"
	for kind in "${triggers[@]}"; do
		stop_server "$kind"
		n=$(sum "$tmp/trigger.$kind.requests")
		echo "| $kind, $1 conn., $2 B" \
			"| $(calculate 2 "$(counted "$kind" waits) / $n")" \
			"| $(calculate 2 "$(counted "$kind" recvs) / $n")" \
			"| $(calculate 2 "$(counted "$kind" sends) / $n")" \
			"| $(calculate 2 "$(counted "$kind" controls) / $n")" \
			"| $(calculate 2 "$(median "$tmp/trigger.$kind")")" \
			"| $(calculate 2 "$(median "$tmp/trigger.$kind.ratio")") |"
	done
}

trigger()
{
	echo '| calls for each request | epoll_wait | recv | send | epoll_ctl | CPU us | ratio |'
	echo '|---|---|---|---|---|---|---|'
	trigger_rows 1 64
	trigger_rows 64 64
	trigger_rows 64 16384
}

time_wait() # FILTER
{
	ss -Htan state time-wait "$1" | wc -l
}

timewait_row() # WHAT KIND ARGUMENT...
{
	load "$2" "${@:3}" || die "$(cat "$tmp/errors")"
	echo "| $1 | $(result requests) | $(time_wait "dport = :${port[$2]}")" \
		"| $(time_wait "sport = :${port[$2]}") |"
}

# Bytes of an object of the kernel; only root of the machine may read it.
object_size()
{
	awk -v name="$1" '$1 == name { print $4 }' /proc/slabinfo 2>/dev/null
}

timewait()
{
	local how object size
	echo '| who closes first | connections | TIME_WAIT of the client | TIME_WAIT of the server |'
	echo '|---|---|---|---|'
	for how in client half reset; do
		start_lab "$how" 0
		timewait_row "$how" "$how" --mode churn --count 200 --close "$how"
		stop_server "$how"
	done
	start_lab server 0 --once yes
	timewait_row server server --mode churn --count 200 --close server
	stop_server server
	start_simple daytime 0 1 daytime ''
	timewait_row 'simple-server, daytime (one more at its start)' daytime --mode daytime --count 200
	stop_server daytime
	echo
	echo '| object of the kernel | bytes |'
	echo '|---|---|'
	for object in tw_sock_TCP TCP sock_inode_cache; do
		size=$(object_size "$object")
		echo "| $object | ${size:--} |"
	done
}

ports()
{
	ask ports
}

inherit()
{
	ask inherit
}

keepalive()
{
	ask dead-peer
}

reuseaddr()
{
	ask rebind
}

calls()
{
	ask calls
}

echo "Linux $(uname -r), $(nproc --all) CPUs ($(systemd-detect-virt 2>/dev/null || echo no virtual machine))"
for question in "${questions[@]}"; do
	printf '\n## %s\n\n' "$question"
	"$question"
done
