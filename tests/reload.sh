#!/bin/sh
# SPDX-License-Identifier: MIT
#
# SIGHUP: a new file takes effect on connections that are there and on those that come, a wrong one on
# nothing; nobody is disturbed by either.
# shellcheck disable=SC2154 # DAEMON_PID, PORT_name, TARGET_name: set by start_server
# shellcheck source=tests/lib.sh
. "${top_srcdir:-.}/tests/lib.sh"
require ss socat
plan 112

patience=20

readies() {
	grep -c '^READY=1$' "$NOTIFY_LOG"
}

ready_again() {
	[ "$(readies)" -gt "$readies_before" ]
}

# reload: one SIGHUP, and the READY=1 that follows it.
reload() {
	readies_before=$(readies)
	kill -HUP "$DAEMON_PID"
	wait_for $patience ready_again
}

# reloads NAME: it succeeds.
reloads() {
	: >"$DAEMON_LOG"
	reload
	like "$1" "$DAEMON_LOG" 'reloaded with [0-9]+ change'
}

# fails NAME REGEX: it changes nothing, and says why.
fails() {
	: >"$DAEMON_LOG"
	reload
	like "$1: says why" "$DAEMON_LOG" "$2"
	like "$1: changes nothing" "$DAEMON_LOG" 'the reload has failed with [0-9]+ errors?, and nothing was changed'
}

# hold NAME TARGET [ADDRESS]: a client that stays until `release NAME`; what comes back is in NAME.out.
hold() {
	knock "$@"
	wait_for $patience test -s "$work/$1.out"
}

# knock NAME TARGET [ADDRESS]: the same, whether it is let in or not.
knock() {
	rm -f "$work/$1.in" "$work/$1.out"
	mkfifo "$work/$1.in"
	# shellcheck disable=SC2094
	timeout 60 socat -t 1 - "TCP:$2${3:+,bind=$3}" <"$work/$1.in" >"$work/$1.out" 2>/dev/null 4>&- 5>&- &
	eval "pid_$1=\$!"
	case $1 in
	a) exec 4>"$work/a.in" && echo a >&4 ;;
	b) exec 5>"$work/b.in" && echo b >&5 ;;
	esac
}

release() {
	case $1 in
	a) exec 4>&- ;;
	b) exec 5>&- ;;
	esac
	eval "wait \$pid_$1"
}

# kernel NAME: what ss says of the server's end of the connections of a socket.
kernel() {
	eval "kernel_port=\$PORT_$1"
	# shellcheck disable=SC2154 # by eval
	ss -HOtnoeimp --tos state established "sport = :$kernel_port"
}

answers() {
	[ "$(echo y | timeout 5 socat -t 5 - "TCP:$1${2:+,bind=$2}" 2>/dev/null)" = y ]
}

file() {
	config <<-END
	workers = 2;
	$1
	sockets = (
	  { name = "echo"; handler = "echo"; $2 }
	);
	END
}

# ---- what systemd is told

file '' ''
start_server --self-stop --timeout 300 --tcp echo=127.0.0.1:0 || exit
reloads 'a file that did not change'
like 'says that nothing did' "$DAEMON_LOG" 'reloaded with 0 changes, and 0 that need a restart'
is 'RELOADING=1 is sent, and READY=1 after it' \
	"$(grep -Eo '^(READY|RELOADING)=1' "$NOTIFY_LOG" | tr '\n' ' ')" 'READY=1 RELOADING=1 READY=1 '
like 'with the time' "$NOTIFY_LOG" '^MONOTONIC_USEC=[0-9]+$'
like 'and STATUS=' "$NOTIFY_LOG" '^STATUS=.*reloaded with 0 changes'

# ---- a wrong file

hold a "$TARGET_echo"
file '' 'limits: { conections = 5; };'
fails 'an unknown key' "$conf:4: .*conections.*did you mean"
file '' ''
sed -i 's/"echo"; }/"ecko"; }/' "$conf"
like 'RELOADING=1 and READY=1 are sent for it as well' "$NOTIFY_LOG" '^STATUS=.*the reload has failed: .*conections'
sed -i 's/handler = "echo"/handler = "ecko"/' "$conf"
fails 'an unknown handler' "$conf:4: there is no handler \"ecko\""
echo 'sockets = (' >"$conf"
fails 'half a file' "$conf:1: .*never closed"
: >"$conf"
fails 'an empty file' "$conf: "
rm "$conf"
fails 'no file' "$conf.*No such file"
mkdir "$conf"
fails 'a directory' "$conf"
rmdir "$conf"
mkfifo "$conf"
fails 'a FIFO' "$conf"
rm "$conf"
file '' ''
if [ "$(id -u)" = 0 ]; then
	skip 'a file that may not be read' 'root reads everything' 2
else
	chmod 0 "$conf"
	fails 'a file that may not be read' "$conf.*Permission denied"
	chmod 644 "$conf"
fi
sed -i 's/name = "echo"/name = "other"/' "$conf"
fails 'a section for no socket, and a socket without one' 'no socket with the name "other" was passed'
like 'both are named' "$DAEMON_LOG" 'no section any more for the socket "echo"'
file 'max_connections = 999999;' ''
fails 'more connections than there are files for' 'max_connections = 999999 cannot hold'
file '' 'options: { so_reuseport = true; };'
fails 'an option that had to be set before bind' 'so_reuseport.*ReusePort='
file '' 'options: { tcp_keepidle = 7000; tcp_congestion = "none-such"; };'
fails 'an option that the kernel does not take' 'tcp_congestion.*cannot be set'
hold b "$TARGET_echo"
unlike 'and what was set before it is undone' /dev/stdin 'keepalive,11[0-9]min' <<END
$(kernel echo)
END
release b
echo still >&4
check 'a client that was there before all this is served' wait_for 5 grep -q still "$work/a.out"
release a

# ---- an included file

echo 'drain_timeout = 1.0;' >"$work/more.conf"
file '@include "more.conf"' ''
reloads 'a file that includes another'
like 'names what changed' "$DAEMON_LOG" 'reloaded: drain_timeout = 1\.0 \(was 5\.0\)'
echo 'drain_timeout = 2.0;' >"$work/more.conf"
reloads 'the other file alone changes'
like 'and that as well' "$DAEMON_LOG" 'reloaded: drain_timeout = 2\.0 \(was 1\.0\)'
echo 'drain_timout = 2.0;' >"$work/more.conf"
fails 'a fault in the other file' "more.conf:1: .*drain_timout"

# ---- what takes a restart

file 'pool_threads = 3;' ''
sed -i 's/workers = 2/workers = 3/; s/handler = "echo"/handler = "discard"/' "$conf"
reloads 'keys that a reload cannot change'
like 'workers' "$DAEMON_LOG" 'needs a restart: workers = 3 \(2 is in force\)'
like 'pool_threads' "$DAEMON_LOG" 'needs a restart: pool_threads = 3 \(8 is in force\)'
like 'a handler' "$DAEMON_LOG" 'needs a restart: echo: handler = "discard" \("echo" is in force\)'
reloads 'the same once more'
like 'it says so again' "$DAEMON_LOG" 'reloaded with 0 changes, and 3 that need a restart'
check 'the old handler serves' answers "$TARGET_echo"
file '' ''
reloads 'back again'
like 'nothing waits any more' "$DAEMON_LOG" 'reloaded with [0-9] changes?, and 0 that need a restart'

# ---- options, on connections that are there and on those that come

hold a "$TARGET_echo"
file '' 'options: { so_keepalive = true; tcp_keepidle = 7000; so_rcvbuf = 50000; ip_tos = 16; so_priority = 5; };'
reloads 'options'
kernel echo >"$work/old.ss"
hold b "$TARGET_echo"
kernel echo | grep -c 'keepalive,11[0-9]min' >"$work/both"
kernel echo >"$work/new.ss"
like 'are set on a connection that is there' "$work/old.ss" 'keepalive,11[0-9]min'
like 'so_rcvbuf too' "$work/old.ss" ',rb100000,'
like 'and so_priority, which is not inherited' "$work/old.ss" 'class_id:(0x)?5\b'
is 'and on those that come' "$(cat "$work/both")" 2
is 'so_priority there too' "$(grep -Ec 'class_id:(0x)?5\b' "$work/new.ss")" 2
release b
file '' 'options: { so_keepalive = false; };'
reloads 'without them'
kernel echo >"$work/old.ss"
unlike 'so_keepalive is off on the old connection' "$work/old.ss" 'timer:\(keepalive'
unlike 'and ip_tos is what the unit had' "$work/old.ss" 'tos:0x10'
hold b "$TARGET_echo"
kernel echo >"$work/new.ss"
unlike 'and on the new one' "$work/new.ss" 'timer:\(keepalive|tos:0x10|,rb100000,'
release b
release a

# ---- the log, time-outs, limits, access

file '' 'log: { connections = false; };'
reloads 'log.connections = false'
check 'a client comes and goes' answers "$TARGET_echo"
file '' ''
reloads 'and true again'
hold a "$TARGET_echo"
file '' 'timeouts: { idle = 0.3; };'
: >"$DAEMON_LOG"
reloads 'a time-out'
check 'holds for a connection that was there' wait_for 5 logged 'connection .* ended: idle-timeout'
release a
# A time that does not pass while the file is written.
file '' 'timeouts: { idle = 600.0; };'
reloads 'a longer one'
hold a "$TARGET_echo"
file '' 'timeouts: { idle = 600.0; lifetime = 0.5; };'
reloads 'another one'
check 'holds as well' wait_for 5 logged 'connection .* ended: lifetime'
release a

hold a "$TARGET_echo" 127.0.0.2
file '' 'limits: { per_source = 1; };'
reloads 'per_source, where there was no such limit'
if answers "$TARGET_echo" 127.0.0.2; then not_ok 'counts a connection that was there'
else ok 'counts a connection that was there'; fi
check 'and another source is let in' answers "$TARGET_echo" 127.0.0.3
file '' 'limits: { per_source = 1; source_prefix_v4 = 24; };'
reloads 'another prefix'
if answers "$TARGET_echo" 127.0.0.3; then not_ok 'makes them one source'
else ok 'makes them one source'; fi
release a
check 'whose place is free when the first has gone' wait_for 5 answers "$TARGET_echo" 127.0.0.3
file '' ''
reloads 'no such limit'

hold a "$TARGET_echo"
file '' 'limits: { connections = 1; };'
reloads 'one connection at once'
knock b "$TARGET_echo"
wait_for 5 logged 'as many connections are open as may be'
file '' 'limits: { connections = 2; };'
reloads 'two of them'
check 'lets in who waits' wait_for 5 test -s "$work/b.out"
release a
release b

hold a "$TARGET_echo" 127.0.0.2
file '' 'access: { deny = ( "127.0.0.2" ); };'
reloads 'a rule of access'
if answers "$TARGET_echo" 127.0.0.2; then not_ok 'holds for who comes'
else ok 'holds for who comes'; fi
check 'and for nobody else' answers "$TARGET_echo" 127.0.0.3
echo still >&4
check 'who was let in before stays' wait_for 5 grep -q still "$work/a.out"
release a
file '' 'limits: { source_rate = 1; source_burst = 1; };'
reloads 'a rate'
too_fast() {
	! answers "$TARGET_echo" 127.0.0.4
}
check 'holds for who comes' wait_for 10 too_fast
check 'and the log says so' logged '127\.0\.0\.4:[0-9]+ was turned away: too-fast'
file '' ''
reloads 'none'
hold a "$TARGET_echo"
file 'max_connections = 77;' 'limits: { bandwidth = 100000; };'
reloads 'a bandwidth, and places'
kernel echo >"$work/a.ss"
like 'the kernel paces a connection that was there' "$work/a.ss" 'pacing_rate [^ ]*/800(000|[Kk])bps'
check 'the status has the places' notified '^STATUS=.* of at most 77,'
release a

# ---- under load

# streams: connections of up to 1 MiB each way, checked byte by byte, until the file `go` is gone.
streams() {
	while [ -e "$work/go" ]; do
		"$client" "$TARGET_echo" random 50 || return
	done
}
: >"$work/go"
streams >"$work/streams.out" 2>&1 &
streams=$!
reload_often() {
	n=0
	while [ $n -lt 100 ]; do
		n=$((n + 1))
		file "" "limits: { per_source = $((1000 + n)); source_prefix_v4 = $((n % 3 * 8 + 8)); };
			timeouts: { idle = $((n % 2 * 60 + 10)).0; }; options: { so_keepalive = $([ $((n % 2)) = 0 ] && echo true || echo false); };"
		reload || return
	done
}
before=$(grep -c '^RELOADING=1$' "$NOTIFY_LOG")
check '100 reloads under 50 streams' reload_often
rm "$work/go"
wait $streams
is 'not a byte is lost' "$?" 0
is 'each began' $(($(grep -c '^RELOADING=1$' "$NOTIFY_LOG") - before)) 100
is 'and ended' "$(readies)" $((before + 101))

# Signals that come while one is pending are one; each that is read has its end.
kill -HUP "$DAEMON_PID"
kill -HUP "$DAEMON_PID"
as_many() {
	[ "$(grep -c '^RELOADING=1$' "$NOTIFY_LOG")" -gt $((before + 100)) ] &&
		[ "$(readies)" = $(($(grep -c '^RELOADING=1$' "$NOTIFY_LOG") + 1)) ]
}
check 'two in quick succession both end with READY=1' wait_for $patience as_many
check 'it serves' answers "$TARGET_echo"

# ---- the end

file 'drain_timeout = 30.0;' ''
check 'a longer drain' reload
hold a "$TARGET_echo"
kill -TERM "$DAEMON_PID"
check 'a stop begins' wait_for 5 notified '^STOPPING=1$'
before=$(readies)
kill -HUP "$DAEMON_PID"
echo still >&4
check 'SIGHUP meanwhile disturbs nobody' wait_for 5 grep -q still "$work/a.out"
release a
is 'and is no reload' "$(readies)" "$before"
stop_and_check 'it ends with 0'

# ---- what handlers take of their own keys

modules=$top_builddir/tests/modules
allow_root="$allow_root --allow-own-modules"
# handlers HELLO FORWARD
handlers() {
	config <<-END
	sockets = (
	  { name = "hello"; handler = "module"; module = "$modules/hello.so"; settings: { $1 }; },
	  { name = "old"; handler = "module"; module = "$modules/twin.so"; settings: { $1 }; },
	  { name = "web"; handler = "forward"; settings: { $2 }; }
	);
	END
}
hello() {
	socat -t 5 - "TCP:$1" </dev/null | head -n 1 | tr -d '\r'
}
handlers 'greeting = "one";' 'target = "127.0.0.1:1";'
start_server --timeout 60 --tcp hello=127.0.0.1:0 --tcp old=127.0.0.1:0 --tcp web=127.0.0.1:0 || exit
is 'a greeting' "$(hello "$TARGET_hello")" 'hello: one'
handlers 'greeting = "two";' 'target = "127.0.0.1:1"; connect_timeout = 9.0;'
reloads 'another one'
is 'is said from now on' "$(hello "$TARGET_hello")" 'hello: two'
like 'and told' "$DAEMON_LOG" 'reloaded: hello: settings.greeting = "two" \(was "one"\)'
like 'forward takes a time-out' "$DAEMON_LOG" 'reloaded: web: settings.connect_timeout = 9.0'
handlers 'greeting = "three"; times = 6;' 'target = "127.0.0.1:2";'
reloads 'one that reload() does not take'
is 'is not said' "$(hello "$TARGET_hello")" 'hello: two'
like 'and waits for a restart' "$DAEMON_LOG" 'needs a restart: hello: settings.greeting = "three" \("two" is in force\)'
like 'as a new target does' "$DAEMON_LOG" 'needs a restart: web: settings.target = '
handlers 'greeting = ""; times = 3;' 'target = "127.0.0.1:1";'
fails 'one that check() does not take' 'an empty greeting 3 times'
handlers 'greeting = "four";' 'target = "127.0.0.1:1";'
reloads 'one that it takes'
is 'is said again' "$(hello "$TARGET_hello")" 'hello: four'
stop_and_check 'it ends with 0 too'
