#!/bin/sh
# SPDX-License-Identifier: MIT
#
# simple-client against the server: each mode over each kind of socket, what it finds when a byte is wrong
# or a server misbehaves, what it shows, and how it refuses a command line.
# shellcheck disable=SC2154,SC2034 # DAEMON_PID, PORT_name: set by start_server; server_env: for it
# shellcheck source=tests/lib.sh
. "${top_srcdir:-.}/tests/lib.sh"

loader=$top_builddir/src/simple-client
proxy=$top_builddir/tests/corrupt-proxy
page=$top_srcdir/man/simple-client.1
patience=20
kinds='v4 local'
! grep -q . /proc/net/if_inet6 2>/dev/null || kinds="$kinds v6"
[ -x "$loader" ] || skip_all 'simple-client is not built'
plan 143

{
	echo 'sockets = ('
	for handler in echo chargen daytime time; do
		echo "{ name = \"$handler\"; handler = \"$handler\"; log: { connections = false; }; },"
	done
	echo '{ name = "discard"; handler = "discard"; } );'
} | config
set --
for handler in echo discard chargen daytime time; do
	set -- "$@" --tcp "$handler=127.0.0.1:0" --unix "$handler=$work/$handler.socket"
	case $kinds in *v6*) set -- "$@" --v6only "$handler=[::1]:0" ;; esac
done
check 'the server starts' start_server "$@" || exit
start_fds=$(fds "$DAEMON_PID")

# target HANDLER KIND: where it listens.
target() {
	case $2 in
	v4) eval "echo \"127.0.0.1:\$PORT_$1\"" ;;
	v6) eval "echo \"[::1]:\$PORT_$1_3\"" ;;
	local) echo "$work/$1.socket" ;;
	esac
}

# runs STATUS OPTION...: a run with the result in $work/json and what it said in $work/said.
runs() {
	runs_status=$1
	shift
	timeout $patience "$loader" --json "$@" >"$work/json" 2>"$work/said"
	runs_got=$?
	[ "$runs_got" = "$runs_status" ] || {
		echo "exit status $runs_got instead of $runs_status"
		cat "$work/said" "$work/json"
		return 1
	}
}

# json KEY...: the value at a path, as total requests; the output has one key in each line.
json() {
	awk -v wanted="$*" '
	match($0, /^ *"[^"]*": /) {
		match($0, /^ */)
		depth = RLENGTH / 2
		key = line = substr($0, RLENGTH + 2)
		sub(/".*/, "", key)
		sub(/^[^"]*": /, "", line)
		sub(/,$/, "", line)
		path[depth] = key
		all = path[1]
		for (i = 2; i <= depth; i++)
			all = all " " path[i]
		if (all == wanted) { print line; exit }
	}' "$work/json"
}

# holds AWK-CONDITION KEY...: whether the value, as x, is such.
holds() {
	holds_condition=$1
	shift
	awk -v x="$(json "$@")" "BEGIN { exit !($holds_condition) }" && return
	echo "$* is $(json "$@")"
	return 1
}

# errors_are KIND: there are errors of this kind, and the first one was described.
errors_are() {
	holds 'x > 0' errors "$1" && ! grep -q '"first_error": null' "$work/json" && return
	cat "$work/json"
	return 1
}

# finds KIND OPTION...: exit status 1, for this reason.
finds() {
	finds_kind=$1
	shift
	runs 1 "$@" && errors_are "$finds_kind"
}

# ---- each mode

good() {
	runs 0 "$@" && holds 'x == "true"' good && [ "$(json first_error)" = null ] && [ ! -s "$work/said" ]
}

for kind in v4 v6 local; do
	case $kinds in
	*$kind*) ;;
	*)
		skip 'each mode over IPv6' 'there is no IPv6 here' 16
		continue
		;;
	esac
	echo=$(target echo $kind)
	check "echo, $kind" good -n 2000 -c 4 -t 2 "$echo"
	check "echo of many sizes, deep and in pieces, $kind" good -n 500 -c 4 -s 7-70k --depth 5 --writes 3 "$echo"
	check "echo in an open loop, $kind" good -n 600 -c 4 -r 2000 "$echo"
	check "discard, $kind" good -n 500 -c 4 -s 1k-64k -m discard "$(target discard $kind)"
	check "chargen, $kind" good -n 20000 -c 4 -m chargen "$(target chargen $kind)"
	check "daytime, $kind" good -n 100 -c 4 -m daytime "$(target daytime $kind)"
	check "time, $kind" good -n 100 -c 4 -m time "$(target time $kind)"
	check "churn, $kind" good -n 200 -c 4 -m churn "$echo"
	check "churn with a half-close, $kind" good -n 200 -c 4 -m churn --close half "$echo"
	check "churn at a rate, $kind" good -n 100 -c 8 -r 500 -m churn "$echo"
	check "idle, $kind" good -n 200 -c 50 -m idle --interval 0.05 "$echo"
	check "drip, $kind" good -n 5 -c 4 -m drip --interval 0.02 "$echo"
	check "deaf, $kind" good -n 5 -c 4 -m deaf -s 16k "$echo"
	check "half-close, $kind" good -n 100 -c 4 -m half-close -s 100k "$echo"
	check "reset, $kind" good -n 50 -c 4 -m reset "$echo"
	check "silent, $kind" good -n 5 -c 4 -m silent "$echo"
done
echo=$(target echo v4)
check 'churn with resets' good -n 200 -c 4 -m churn --close reset "$echo"

# ---- counts

check 'a count is kept exactly' runs 0 -n 1003 -c 7 -t 2 --depth 3 "$echo"
is 'so many requests' "$(json total requests)" 1003
is 'so many bytes there, and back' "$(json total bytes_out) $(json total bytes_in)" '64192 64192'
check 'a count of messages that nobody answers' runs 0 -m discard -n 1000 -s 1001 "$(target discard v4)"
is 'the client counts the bytes' "$(json total bytes_out)" 1001000
check 'and the server as many' wait_for $patience logged ' discard: .*peer-closed; 1001000 bytes in, 0 out'
check 'a count of connections' runs 0 -n 100 -c 3 -m churn "$echo"
is 'so many connections' "$(json total requests)" 100

check 'a closed loop that is warm' runs 0 -d 0.2 --warmup 0.1 -c 50 "$echo"
is 'answers behind the window do not make it longer' "$(json total window_ns)" 200000000

# ---- one wrong byte

# spoilt KIND DIRECTION HOW OFFSET HANDLER OPTION...: the run behind a proxy that does this ends with 1 and
# errors of this kind; KIND good: it finds nothing.
spoilt() {
	spoilt_kind=$1
	eval "spoilt_port=\$PORT_$5"
	rm -f "$work/proxy"
	mkfifo "$work/proxy"
	"$proxy" "$2" "$3" "$4" "$spoilt_port" >"$work/proxy" &
	proxy_pid=$!
	read -r proxy_port <"$work/proxy"
	shift 5
	if [ "$spoilt_kind" = good ]; then
		good "$@" "127.0.0.1:$proxy_port"
	else
		finds "$spoilt_kind" --timeout 0.5 "$@" "127.0.0.1:$proxy_port"
	fi
	spoilt_status=$?
	kill $proxy_pid
	wait $proxy_pid 2>/dev/null
	return $spoilt_status
}

check 'the proxy by itself does nothing' spoilt good up none 0 echo -n 2000 -c 2 --depth 8
for offset in 0 63 99999; do
	for way in up down; do
		check "echo: a wrong byte at $offset, $way" \
			spoilt wrong_bytes $way flip $offset echo -n 4000 --depth 8
		check "echo: a byte is missing at $offset, $way" \
			spoilt wrong_bytes $way drop $offset echo -n 4000 --depth 8
		check "echo: a byte too many at $offset, $way" \
			spoilt wrong_bytes $way insert $offset echo -n 4000 --depth 8
	done
done
for offset in 0 73 1000000; do
	check "chargen: a wrong byte at $offset" spoilt wrong_bytes down flip $offset chargen -m chargen -n 20000
	check "chargen: a byte is missing at $offset" spoilt wrong_bytes down drop $offset chargen -m chargen -n 20000
	check "chargen: a byte too many at $offset" spoilt wrong_bytes down insert $offset chargen -m chargen -n 20000
done
check 'churn: a wrong byte, up' spoilt wrong_bytes up flip 63 echo -m churn -n 20
check 'churn: the last byte is missing, down' spoilt answer_timeout down drop 63 echo -m churn -n 20
check 'churn: a byte too many, down' spoilt extra_bytes down insert 64 echo -m churn -n 20 --close half
check 'half-close: a wrong byte, down' spoilt wrong_bytes down flip 99999 echo -m half-close -s 100000 -n 5
check 'half-close: a byte is missing, up' spoilt wrong_bytes up drop 50000 echo -m half-close -s 100000 -n 5
check 'half-close: the last byte is missing' spoilt short up drop 99999 echo -m half-close -s 100000 -n 5
check 'idle: a wrong byte' spoilt wrong_bytes up flip 100 echo -m idle -n 20 --interval 0.02
check 'daytime: the end of the line is wrong' spoilt wrong_bytes down flip 25 daytime -m daytime -n 5
check 'daytime: a byte is missing' spoilt wrong_bytes down drop 24 daytime -m daytime -n 5
check 'time: a wrong byte' spoilt wrong_bytes down flip 1 time -m time -n 5
check 'time: a byte is missing' spoilt short down drop 3 time -m time -n 5
check 'time: a byte too many' spoilt extra_bytes down insert 3 time -m time -n 5

# ---- servers that misbehave

check 'the server closes in the middle' spoilt short down cut 1000 echo -n 1000
check 'the server resets in the middle' spoilt reset down reset 1000 echo -n 1000
check 'the server never answers' finds answer_timeout --timeout 0.2 -d 0.5 "$(target discard v4)"
# Before our message nothing may come, and behind it nothing else.
speaks_first() {
	runs 1 -d 0.3 "$(target chargen v4)" && { errors_are extra_bytes || errors_are wrong_bytes; }
}
check 'the server says something else' speaks_first
rm -f "$work/proxy"
mkfifo "$work/proxy"
"$proxy" up none 0 9 >"$work/proxy" &
proxy_pid=$!
read -r closed_port <"$work/proxy"
kill $proxy_pid
wait $proxy_pid 2>/dev/null
check 'nobody listens' finds connect -d 0.2 "127.0.0.1:$closed_port"
check 'there is no socket of this name' finds connect -d 0.2 "$work/nothing"

# ---- a server that stands still for a second: in a closed loop one request is late, in an open loop
# all that were due.

all_connected() {
	[ "$(fds "$DAEMON_PID")" -ge "$connected_fds" ]
}
stand_still() {
	connected_fds=$(($(fds "$DAEMON_PID") + 16))
	"$loader" --json -d 4 -c 8 -r 2000 "$echo" >"$work/open" 2>"$work/said" &
	open_pid=$!
	"$loader" --json -d 4 -c 8 "$(target echo local)" >"$work/closed" 2>>"$work/said" &
	closed_pid=$!
	wait_for 10 all_connected || return
	kill -STOP "$DAEMON_PID"
	sleep 1 # this is the second
	kill -CONT "$DAEMON_PID"
	wait $open_pid && wait $closed_pid
}
check 'a server stands still for a second' stand_still
cp "$work/open" "$work/json"
at_least_900_ms='x > 0.9e9 && x < 3e9'
check 'the longest time of an open loop shows it' holds "$at_least_900_ms" latency corrected max_ns
check 'and so does p99.9' holds "$at_least_900_ms" latency corrected percentiles_ns p99_9
check 'and p90: a second of requests was due' holds 'x > 0.3e9' latency corrected percentiles_ns p90
check 'uncorrected, most seem to be served at once' holds 'x < 0.1e9' latency uncorrected percentiles_ns p50
check 'nothing that was due is missing' holds 'x >= 7990 && x <= 8010' total requests
cp "$work/closed" "$work/json"
check 'the longest time of a closed loop shows it' holds "$at_least_900_ms" latency corrected max_ns
check 'but half of the requests know nothing of it' holds 'x < 0.1e9' latency corrected percentiles_ns p50

# ---- what it shows

# Structure alone where there is no parser.
is_json() {
	if command -v python3 >/dev/null; then
		python3 -m json.tool "$1" >/dev/null
	elif command -v jq >/dev/null; then
		jq . "$1" >/dev/null
	else
		[ "$(head -c 1 "$1")" = '{' ] && [ "$(tail -n 1 "$1")" = '}' ] &&
			[ "$(tr -cd '{[' <"$1" | wc -c)" = "$(tr -cd '}]' <"$1" | wc -c)" ]
	fi
}
check 'a run with all that can be shown' runs 0 -n 2000 -c 2 -t 2 --server-pid "$DAEMON_PID" \
	--histogram "$work/run.hgrm" --plot "$work/run.svg" --source 127.0.0.3-127.0.0.4 \
	-o so_keepalive=true "$echo"
check 'the result is JSON' is_json "$work/json"
check 'the processor time of the server is in it' holds 'x > 0' server_cpu_ns
like 'the histogram has its columns' "$work/run.hgrm" '^ *Value +Percentile +TotalCount +1/\(1-Percentile\)$'
like 'and all requests' "$work/run.hgrm" '^#\[Max .*Total count *= *2000\]$'
like 'the plot begins' "$work/run.svg" '<svg '
is 'and ends' "$(tail -n 1 "$work/run.svg")" '</svg>'
timeout $patience "$loader" -n 100 "$echo" >"$work/table" 2>"$work/said"
is 'a run that is shown as a table' "$?" 0
like 'the table has its latencies' "$work/table" '^latency .*s .*s .*s'
like 'and ends with the verdict' "$work/table" '^good$'
is 'nothing else was said' "$(cat "$work/said")" ''
timeout $patience "$loader" -q -n 100 "$echo" >"$work/table" 2>"$work/said"
is 'a quiet run' "$?" 0
is 'the source is used' "$(runs 0 -m discard -n 1 --source 127.0.0.7 "$(target discard v4)" &&
	wait_for $patience logged ' from 127\.0\.0\.7:' && echo seen)" seen

# interrupted SIGNAL: a run that ends by a signal before its time, with a result.
interrupted() {
	"$loader" --json -d $patience -c 3 "$echo" >"$work/json" 2>"$work/said" &
	loader_pid=$!
	wait_for $patience has_fds "$DAEMON_PID" $((start_fds + 3)) || return
	kill -"$1" "$loader_pid"
	wait $loader_pid
	loader_status=$?
	[ "$(json interrupted)" = true ] && holds 'x > 0' total requests && [ $loader_status = 0 ] && return
	echo "exit status $loader_status"
	cat "$work/json"
	return 1
}
wait_for $patience has_fds "$DAEMON_PID" "$start_fds"
check 'SIGINT ends a run, with its result' interrupted INT
wait_for $patience has_fds "$DAEMON_PID" "$start_fds"
check 'and so does SIGTERM' interrupted TERM

# ---- the command line

# usage NAME REGEX OPTION...: exit status 64, nothing on standard output, and a line like this.
usage() {
	usage_name=$1
	usage_regex=$2
	shift 2
	timeout $patience "$loader" "$@" >"$work/out" 2>"$work/said"
	usage_status=$?
	if [ $usage_status != 64 ] || [ -s "$work/out" ]; then
		not_ok "$usage_name" "exit status $usage_status" "$(cat "$work/out" "$work/said")"
	else
		like "$usage_name" "$work/said" "$usage_regex"
	fi
}
usage 'no address' '^simple-client: no address'
usage 'an option that there is not' 'there is no --treads; did you mean --threads[?]' --treads 2 "$echo"
usage 'a contradiction' '--rate is for the modes echo and churn, not for idle' -m idle -r 5 "$echo"
usage 'an option that the kernel refuses' '--option tcp_congestion="banana": the kernel refuses it: No such file' \
	-o tcp_congestion=banana "$echo"
usage 'a source that is not here' '--source: 192.0.2.1 cannot be used: Cannot assign' --source 192.0.2.1 "$echo"
usage 'two mistakes: the first' 'bytes from 1 to 16M' -s 0 --timeout x "$echo"
like 'two mistakes: the second' "$work/said" '--timeout: "x" is not possible'

# unwritable OPTION: said before the server has heard of it.
unwritable() {
	! timeout $patience "$loader" -d 3600 "$1" "$work/no/such/file" "$echo" >"$work/out" 2>"$work/said"
	grep -q "no/such/file: No such file" "$work/said" && [ ! -s "$work/out" ]
}
check 'a histogram that cannot be written' unwritable --histogram
check 'a plot that cannot be written' unwritable --plot

"$loader" --help >"$work/help" 2>&1
is '--help' $? 0
is '--version' "$("$loader" --version)" "simple-client ${VERSION:-$("$server" --version | sed 's/.* //')}"
grep -o -e '--[a-z][a-z-]*' "$work/help" | sort -u >"$work/options"
sed -n 's/^\.It Fl \(.* Fl \)\{0,1\}\(-[a-z-]*\).*/-\2/p' "$page" | sort -u >"$work/page"
is 'the page has each option of --help' "$(cat "$work/page")" "$(cat "$work/options")"

check 'all descriptors of the server are closed afterwards' \
	wait_for $patience has_fds "$DAEMON_PID" "$start_fds"
stop_and_check 'the server ends with 0'
