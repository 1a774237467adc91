#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The forwarder: bytes and ends of both directions, targets that are not there, several of them, time-outs,
# limits, and what it does with less than it would like to have.
# shellcheck disable=SC2154 # DAEMON_PID, TARGET_name: set by start_server
# shellcheck source=tests/lib.sh
. "${top_srcdir:-.}/tests/lib.sh"
# shellcheck source=tests/forward-lib.sh
. "${top_srcdir:-.}/tests/forward-lib.sh"
require prlimit timeout
plan 117

have_v6=
! grep -q . /proc/net/if_inet6 2>/dev/null || have_v6=1
abuser=$top_builddir/tests/abuse-client
megabytes=50
[ "$sanitized" = 0 ] || megabytes=5

# ---- targets

# Echoes that are there all the time.
listens echo4 127.0.0.1:0 echo || exit
echo4=$at
listens echo_path "unix:$work/echo.socket" echo
listens echo_abstract "unix:@simple-server-test.$$" echo
echo_abstract=$at
echo6=$echo4
if [ -n "$have_v6" ]; then
	listens echo6 '[::1]:0' echo
	echo6=$at
fi

# A port that the tests have for themselves, one target at a time: no other has this address.
listens reserve 127.0.8.1:0
stops $started
tcp=$at
refused=127.0.8.2:${tcp#*:}
unix=$work/target.socket

for name in full full_path; do
	address=127.0.8.3:0
	[ $name = full ] || address=unix:$work/full.socket
	started $name "$peer" --full "$address"
	ready $name
	eval "$name=\$at full_pid=$started"
done

{
	cat <<END
workers = 2;
drain_timeout = 1.0;
defaults: { log: { connections = false; }; };
sockets = (
	{ name = "v4"; handler = "forward"; settings: { target = "$echo4"; }; },
	{ name = "v6"; handler = "forward"; settings: { target = "$echo6"; }; },
	{ name = "path"; handler = "forward"; settings: { target = "$work/echo.socket"; }; },
	{ name = "abstract"; handler = "forward"; settings: { target = "$echo_abstract"; }; },
	{ name = "name"; handler = "forward"; settings: { target = "localhost:${echo4#*:}"; }; },
	{ name = "local"; handler = "forward"; settings: { target = "$echo4"; }; },

	{ name = "tcp"; handler = "forward"; settings: { target = "$tcp"; }; },
	{ name = "unix"; handler = "forward"; settings: { target = "$unix"; }; },
	{ name = "waits"; handler = "forward"; settings: { target = "$tcp"; connect_retry = 20.0; }; },
	{ name = "waitsu"; handler = "forward"; settings: { target = "$unix"; connect_retry = 20.0; }; },

	{ name = "resets"; handler = "forward"; settings: { target = "$refused"; };
	  log: { connections = true; }; },
	{ name = "closes"; handler = "forward";
	  settings: { target = "$refused"; on_failure = "close"; }; },
	{ name = "full"; handler = "forward"; settings: { target = "$full"; connect_timeout = 0.5; }; },
	{ name = "fullu"; handler = "forward";
	  settings: { target = "$full_path"; connect_timeout = 0.5; }; },
	{ name = "next"; handler = "forward";
	  settings: { target = "$full, $refused, $echo4"; balance = "first"; connect_timeout = 0.3; }; },

	{ name = "turns"; handler = "forward";
	  settings: { target = "$work/a.socket, $work/b.socket, $work/c.socket"; dead_time = 0.3; }; },
	{ name = "least"; handler = "forward"; settings: { balance = "least";
	  target = "$work/a.socket, $work/b.socket, $work/c.socket"; }; },
	{ name = "first"; handler = "forward"; settings: { balance = "first"; dead_time = 0;
	  target = "$work/a.socket, $work/b.socket"; }; },

	{ name = "idle"; handler = "forward"; settings: { target = "$tcp"; };
	  timeouts: { idle = 0.5; }; log: { connections = true; }; },
	{ name = "write"; handler = "forward"; settings: { target = "$tcp"; };
	  timeouts: { write = 0.5; }; log: { connections = true; }; },
	{ name = "half"; handler = "forward"; settings: { target = "$tcp"; };
	  timeouts: { half_closed = 0.5; }; log: { connections = true; }; },

	{ name = "denies"; handler = "forward"; settings: { target = "$echo4"; };
	  access: { deny = ( "127.0.0.9" ); }; },
	{ name = "few"; handler = "forward"; settings: { target = "$echo4"; };
	  limits: { per_source = 2; }; }
);
END
} | config
set -- --unix "local=$work/local.socket"
for name in v4 v6 path abstract name tcp unix waits waitsu resets closes full fullu next turns least first \
	idle write half denies few; do
	address=127.0.0.1:0
	[ "$name$have_v6" != v61 ] || address='[::1]:0'
	set -- "$@" --tcp "$name=$address"
done
check 'it starts with every kind of target' start_server "$@" || exit
start_sockets=$(descriptors "$DAEMON_PID" socket)

# ---- bytes

for name in v4 v6 path abstract name local; do
	eval "target=\$TARGET_$name"
	if [ "$name$have_v6" = v6 ]; then
		skip 'IPv6' 'there is no IPv6 here' 2
		continue
	fi
	check "$name: 50 connections of random sizes" "$client" "$target" random 50 1
	check "$name: short connections" "$client" "$target" churn 500
done
check '200 idle connections' "$client" "$TARGET_v4" idle 200
check 'connections that end by a reset' "$client" "$TARGET_v4" reset 300

much=both:$megabytes'000000'
pair "$megabytes MB each way at once, over TCP" "$TARGET_tcp" "$tcp" "$much fin eof" "$much eof fin"
pair "$megabytes MB each way at once, to AF_UNIX" "$TARGET_unix" "unix:$unix" "$much fin eof" "$much eof fin"
pair "$megabytes MB to the target, then back" "$TARGET_tcp" "$tcp" \
	"send:${much#*:} fin take:${much#*:} eof" "take:${much#*:} eof send:${much#*:} fin"
pair 'small and large messages in turn' "$TARGET_tcp" "$tcp" \
	'both:100 both:1000000 both:1 both:70000 both:3000000 both:9 fin eof' \
	'both:100 both:1000000 both:1 both:70000 both:3000000 both:9 eof'

# ---- half-close

for name in tcp unix; do
	eval "target=\$TARGET_$name address=\$$name"
	[ $name = tcp ] || address=unix:$address
	pair "$name: the client ends first" "$target" "$address" \
		'say:GET\r\n fin hear:answer eof' 'hear:GET\r\n eof nap:50 say:answer'
	pair "$name: the target ends first" "$target" "$address" \
		'hear:hello eof nap:50 send:300000' 'say:hello fin take:300000 eof'
	pair "$name: both end at once, behind bytes" "$target" "$address" \
		'send:200000 fin take:200000 eof' 'send:200000 fin take:200000 eof'
	pair "$name: nothing but ends" "$target" "$address" 'fin eof' 'eof fin'
done
if command -v nc >/dev/null; then
	listens target --count 1 "$tcp" 'hear:GET / HTTP/1.0\r\n\r\n' eof nap:100 send:100000
	printf 'GET / HTTP/1.0\r\n\r\n' | timeout 10 nc -N 127.0.0.1 "${TARGET_tcp#*:}" >"$work/answer"
	is 'nc -N gets its answer' "$? $(wc -c <"$work/answer")" '0 100000'
	ends $started
else
	skip 'nc -N gets its answer' 'nc is missing'
fi

# The client has said all and ended long before there is a target.
for name in waits waitsu; do
	eval "target=\$TARGET_$name"
	address=$tcp
	[ $name = waits ] || address=unix:$unix
	rm -f "$unix" "$work/said"
	started late timeout 20 "$peer" "$target" send:100000 fin "make:$work/said" hear:answer eof
	late=$started
	wait_for 5 test -e "$work/said"
	check "$name: none is there yet" wait_for 5 logged "${address#unix:} is down"
	listens target --count 1 "$address" take:100000 eof say:answer
	check "$name: the client waits until it is, with its end" ends "$late" $started
done

# ---- resets

pair 'the client resets, behind bytes' "$TARGET_tcp" "$tcp" "send:1000 wait:$work/1 rst" \
	"take:1000 make:$work/1 reset"
pair 'the target resets, behind bytes' "$TARGET_tcp" "$tcp" 'take:1000 reset' 'send:1000 rst'
pair 'the target resets who has ended' "$TARGET_tcp" "$tcp" 'fin take:1000 reset' 'eof send:1000 rst'
pair 'the client resets a target that has ended' "$TARGET_tcp" "$tcp" \
	"take:1000 eof send:1000 wait:$work/2 rst" "send:1000 fin take:1000 make:$work/2 reset"
pair 'a target that closes with bytes unread resets' "$TARGET_tcp" "$tcp" 'send:1000 hear:bye reset' \
	'take:1 say:bye'
pair 'over AF_UNIX a broken client is an end' "$TARGET_unix" "unix:$unix" "send:1000 wait:$work/3 rst" \
	"take:1000 make:$work/3 gone"

# All at once for the server: the client, what it sends, its reset, and that the target has taken the
# connection. Perhaps no byte arrives; but an end without a reset would tell that this was all.
listens target --count 1 "$tcp" broken
kill -STOP "$DAEMON_PID"
"$peer" "$TARGET_tcp" send:1000 rst
kill -CONT "$DAEMON_PID"
check 'the client resets before the target is there' ends "$started"

# ---- no target

before=$(milliseconds)
check 'refused: the client is reset' "$peer" "$TARGET_resets" reset
at_most 'refused: at once, ms' $(($(milliseconds) - before)) 1000
check 'refused: or closed, as on_failure says' "$peer" "$TARGET_closes" eof
for name in resets closes; do
	for _ in 1 2 3 4 5 6 7 8 9; do
		eval "\"\$peer\" \"\$TARGET_$name\" gone"
	done
done
check 'refused: the log says so' wait_for 5 logged \
	'resets: connection [0-9]+ from 127\.0\.0\.1:[0-9]+ ended: connect-failed'
is 'refused: one line for a target that is down' \
	"$(grep -c "resets: target $refused is down: Connection refused" "$DAEMON_LOG")" 1

for name in full fullu; do
	eval "target=\$TARGET_$name"
	before=$(milliseconds)
	check "$name: who is not let in is reset" "$peer" "$target" reset
	took=$(($(milliseconds) - before))
	is "$name: after connect_timeout ($took ms)" "$((took >= 450 && took < 3000))" 1
done
check 'a silent and a refused target, then one that is there' "$client" "$TARGET_next" random 5 2
check 'and those two are left out from then on' timeout 20 "$client" "$TARGET_next" churn 200

# ---- several targets

served_by() {
	timeout 10 "$peer" "$1" line 2>&1
}
for name in a b c; do
	listens $name "unix:$work/$name.socket" "say:$name\n" gone
	eval "pid_$name=\$started"
done
served=$(for _ in 1 2 3 4 5 6; do served_by "$TARGET_turns"; done | sort | tr -d '\n')
is 'round-robin: each as often as the others' "$served" aabbcc
is 'first: the first' "$(for _ in 1 2 3; do served_by "$TARGET_first"; done | tr -d '\n')" aaa

# One at each, and the one at b goes: it is b's turn, whichever came last.
for n in 1 2 3; do
	started "held$n" "$peer" "$TARGET_least" line "make:$work/up$n" "wait:$work/go"
	wait_for 5 test -e "$work/up$n"
	[ "$(cat "$work/held$n.out")" != b ] || stops $started
done
is 'least: one for each' "$(cat "$work"/held?.out | sort | tr -d '\n')" abc
least_is_b() {
	[ "$(served_by "$TARGET_least")" = b ]
}
check 'least: the one that has none' wait_for 5 least_is_b
: >"$work/go"

# shellcheck disable=SC2154 # by eval
stops "$pid_a"
is 'first: the second while the first is dead' "$(served_by "$TARGET_first")" b
served=$(for _ in 1 2 3 4 5 6; do served_by "$TARGET_turns"; done | sort | tr -d '\n')
is 'round-robin: a dead one is left out, and no client sees it' \
	"$(echo "$served" | tr -s abc)" bc
listens a "unix:$work/a.socket" "say:a\n" gone
is 'first: the first again when it is back' "$(served_by "$TARGET_first")" a
turns_is_a() {
	[ "$(served_by "$TARGET_turns")" = a ]
}
check 'round-robin: it gets its turn again' wait_for 10 turns_is_a
check 'the log says so' wait_for 5 logged "turns: target $work/a\.socket is up again"

# ---- time-outs

pair 'idle: both get a FIN' "$TARGET_idle" "$tcp" 'both:10 eof' 'both:10 eof'
pair 'idle: not while one direction moves' "$TARGET_idle" "$tcp" \
	'hear:a hear:b hear:c hear:d eof' 'say:a nap:250 say:b nap:250 say:c nap:250 say:d'
check 'idle: the log says so' wait_for 5 logged 'idle: .*: idle-timeout'
check 'the log names the target' wait_for 5 logged \
	"idle: connection [0-9]+ from 127\.0\.0\.1:[0-9]+ to $tcp ended"
pair 'write: a target that takes nothing' "$TARGET_write" "$tcp" "flood make:$work/stalled" \
	"wait:$work/stalled"
rm -f "$work/stalled"
pair 'write: a client that takes nothing' "$TARGET_write" "$tcp" "wait:$work/stalled" \
	"flood make:$work/stalled"
check 'write: the log says so' wait_for 5 logged 'write: .*: write-timeout'
pair 'half_closed: a target that says nothing' "$TARGET_half" "$tcp" "say:x fin eof make:$work/half" \
	"hear:x eof wait:$work/half"
pair 'half_closed: not while it does' "$TARGET_half" "$tcp" 'fin hear:abc eof' \
	'eof nap:250 say:a nap:250 say:b nap:250 say:c'
check 'half_closed: the log says so' wait_for 5 logged 'half: .*: half-closed-timeout'

# ---- rules and limits

check 'access: one that may' "$peer" --from 127.0.0.8:0 "$TARGET_denies" say:x hear:x
check 'access: one that may not' "$peer" --from 127.0.0.9:0 "$TARGET_denies" gone
check 'access: the log says so' wait_for 5 logged 'denies: 127\.0\.0\.9:[0-9]+ was turned away: denied'
started one "$peer" "$TARGET_few" say:x hear:x "make:$work/one" "wait:$work/leave"
one=$started
started two "$peer" "$TARGET_few" say:x hear:x "make:$work/two" "wait:$work/leave"
wait_for 5 test -e "$work/one" -a -e "$work/two"
check 'per_source: no third one' "$peer" "$TARGET_few" gone
check 'per_source: but one from elsewhere' "$peer" --from 127.0.0.8:0 "$TARGET_few" say:x hear:x
: >"$work/leave"
check 'per_source: the two were served' ends "$one" $started

# ---- a slow target

# Each fills what the kernel has for it, and the server what it has.
slow=10
rss_before=$(rss_kib "$DAEMON_PID")
listens target --count $slow "$tcp" "wait:$work/read" rest
target_pid=$started
slow_pids=
for n in $(seq $slow); do
	started "slow$n" "$peer" "$TARGET_tcp" fill "make:$work/full$n" "wait:$work/read" send:100000 fin eof
	slow_pids="$slow_pids $started"
done
all_full() {
	[ "$(find "$work" -name 'full[0-9]*' | wc -l)" = $slow ]
}
check 'a target that does not read stops its clients' wait_for 20 all_full
if [ "$sanitized" = 1 ]; then
	skip 'and the memory is bounded' 'a sanitizer has its own memory'
else
	at_most "KiB of memory for $slow such" $(($(rss_kib "$DAEMON_PID") - rss_before)) 4096
fi
check 'others are served meanwhile' "$client" "$TARGET_v4" random 20 3
: >"$work/read"
# shellcheck disable=SC2086 # a list of words
check 'every byte comes when it reads' ends $slow_pids $target_pid
is 'and none is missing' "$(awk '/^taken/ { n += $2 } END { print n }' "$work/target.out")" \
	"$(awk '/^sent/ { n += $2 + 100000 } END { print n }' "$work"/slow*.out)"

# ---- the end

check 'all sockets are closed afterwards' wait_for 10 has_sockets "$DAEMON_PID" "$start_sockets"
listens target --count 1 "$tcp" both:70000 "make:$work/drain.target" eof
target_pid=$started
started client "$peer" "$TARGET_tcp" both:70000 "make:$work/drain.client" eof
wait_for 5 test -e "$work/drain.client" -a -e "$work/drain.target"
stop_and_check 'SIGTERM: it ends with 0'
check 'SIGTERM: both sides get a FIN' ends $target_pid $started

# ---- AF_VSOCK

# Ports are those of the machine, not of a network namespace.
vsock=$((10000 + $$))
vsock_echoes() {
	[ "$(echo hello | timeout 2 socat -t 2 - "VSOCK-CONNECT:1:$vsock" 2>/dev/null)" = hello ]
}
vsock_name='AF_VSOCK: what is sent and its end arrive, and so does the answer'
if ! socat -V 2>/dev/null | grep -q 'WITH_VSOCK 1'; then
	skip "$vsock_name" 'there is no socat with vsock' 2
else
	started vsock socat -t 10 "VSOCK-LISTEN:$vsock,fork" EXEC:cat
	vsock_pid=$started
	if ! vsock_echoes && ! vsock_echoes; then
		skip "$vsock_name" 'the kernel has no vsock_loopback' 2
	else
		config <<-END
			sockets = ( { name = "vsock"; handler = "forward"; settings: { target = "vsock:1:$vsock"; }; } );
		END
		start_server --tcp vsock=127.0.0.1:0
		head -c 3000000 /dev/urandom >"$work/vsock.sent"
		timeout 20 socat -t 10 - "TCP:$TARGET_vsock" <"$work/vsock.sent" >"$work/vsock.got"
		check "$vsock_name" cmp "$work/vsock.sent" "$work/vsock.got"
		stop_and_check 'AF_VSOCK: it ends with 0'
	fi
	stops "$vsock_pid"
fi

# ---- few descriptors

config <<END
workers = 2;
drain_timeout = 1.0;
sockets = (
	{ name = "echo"; handler = "forward"; settings: { target = "$echo4"; }; },
	{ name = "tcp"; handler = "forward"; settings: { target = "$tcp"; }; },
	{ name = "full"; handler = "forward"; settings: { target = "$echo4"; };
	  limits: { connections = 5; at_limit = "refuse"; }; }
);
END
# shellcheck disable=SC2034 # for start_server, here and below
wrapper='prlimit --nofile=64:64'
check 'it starts with 64 descriptors' start_server --tcp echo=127.0.0.1:0 --tcp tcp=127.0.0.1:0 \
	--tcp full=127.0.0.1:0
check '200 clients connect and send' clients_start "$TARGET_echo" crowd 200
check 'all are served, some at a time' clients_end
check 'and so are those with much to send, for which there are few pipes' \
	"$client" "$TARGET_echo" random 60 5
pair "$megabytes MB each way at once" "$TARGET_tcp" "$tcp" "$much fin eof" "$much eof fin"
"$abuser" --send 16 --close "$TARGET_full" bad 50 </dev/null >"$work/full.out"
done=$(sed -n 's/.*done=\([0-9]*\).*/\1/p' "$work/full.out")
check 'at_limit = "refuse": some are served, the others closed' test "$done" -ge 5 -a "$done" -lt 50
like 'at_limit = "refuse": with every byte' "$work/full.out" " failed=0 open=0 in=$((16 * done)) "
unlike 'never was a descriptor missing' "$DAEMON_LOG" '[Tt]oo many open files'
stop_and_check 'it ends with 0'
wrapper=

# ---- no pages for pipes

# The limit is a user's, and root has none: it is a user of our own, who has nothing else that runs.
other=
if [ "$(id -u)" = 0 ] && setpriv --reuid 65533 true 2>/dev/null; then
	other=$((100000 + $$))
	other="setpriv --reuid $other --regid $other --clear-groups"
	chmod 711 "$work"
	cp "$server" "$peer" "$work/"
	server=$work/simple-server peer=$work/forward-peer
	wrapper=$other
fi
# Stalled, so that what it has can be looked at.
stalls() {
	rm -f "$work/stalled" "$work/read"
	listens target --count 1 "$tcp" "wait:$work/read" rest
	started client "$peer" --timeout 20 "$TARGET_tcp" fill "make:$work/stalled" "wait:$work/read" \
		fin eof
	set -- $started
	wait_for 10 test -e "$work/stalled" || return
	pipes=$(descriptors "$DAEMON_PID" pipe)
	: >"$work/read"
	ends "$1" && grep -q '^taken [1-9]' "$work/target.out" &&
		[ "$(sed -n 's/^sent //p' "$work/client.out")" = "$(sed -n 's/^taken //p' "$work/target.out")" ]
}
if [ -z "$other" ]; then
	skip 'pages for pipes' 'cannot be another user here' 9
else
	check 'it starts as a user' start_server --tcp echo=127.0.0.1:0 --tcp tcp=127.0.0.1:0 \
		--tcp full=127.0.0.1:0
	other_pipes=$(descriptors "$DAEMON_PID" pipe)
	check 'much is spliced' stalls
	is 'by a pipe' $((pipes - other_pipes)) 2
	stop_and_check 'it ends with 0'
	start_server --tcp echo=127.0.0.1:0 --tcp tcp=127.0.0.1:0 --tcp full=127.0.0.1:0
	# shellcheck disable=SC2086 # a list of words
	started hog $other "$peer" --use-up-pipes
	hog=$started
	check 'all pages of the user are used' ready hog
	check 'without pages it is copied' stalls
	is 'without a pipe' $((pipes - other_pipes)) 0
	pair 'byte for byte' "$TARGET_tcp" "$tcp" "$much fin eof" "$much eof fin"
	stops $hog
	stop_and_check 'it ends with 0'
fi
wrapper=

# ---- settings

# wrong NAME SETTINGS REGEX: an error in line 3.
wrong() {
	printf 'sockets = ( {\n\tname = "x"; handler = "forward";\n\tsettings: { %s }; } );\n' "$2" >"$conf"
	"$server" --config "$conf" --check >"$work/check.out" 2>"$work/check.err"
	wrong_status=$?
	grep -Eq "simple-server\.conf:[0-9]+: .*$3" "$work/check.err" ||
		wrong_status="$wrong_status, no line like $3: $(cat "$work/check.err")"
	is "--check: $1" "$wrong_status" 78
}
wrong 'no target' '' 'target is missing'
wrong 'no port' 'target = "127.0.0.1";' 'has no port'
wrong 'half a number' 'target = "127.0.0.1:80x";' 'port'
wrong 'port 0' 'target = "127.0.0.1:0";' 'port'
wrong 'port 65536' 'target = "127.0.0.1:65536";' 'port'
wrong 'an address of IPv4 that is none' 'target = "127.0.0.256:80";' 'neither an address'
wrong 'an address of IPv6 without brackets' 'target = "::1:80";' 'too many colons'
wrong 'brackets around something else' 'target = "[127.0.0.1]:80";' '127\.0\.0\.1'
wrong 'too long a path' "target = \"/$(printf %0107d 0)\";" '107 at most'
wrong 'nothing between commas' 'target = "127.0.0.1:80,,127.0.0.1:81";' 'nothing in it'
wrong 'the same twice' 'target = "127.0.0.1:80, 127.0.0.1:80";' 'repeats'
wrong 'an unknown word' 'target = "127.0.0.1:80"; balance = "random";' 'random.*round-robin'
wrong 'peer to a path' 'target = "/run/x"; source = "peer";' 'does not fit'
wrong 'a misspelled key' 'target = "127.0.0.1:80"; ballance = "first";' '"balance"'
