#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Each limit does what it says, and lets go again; and what happens when the file descriptors run out,
# as none of them foresees: as many connections as fit are served, the rest waits in the backlog without
# a loop that spins, one line says so, and all are served once there is room.
# shellcheck disable=SC2154 # DAEMON_PID, TARGET_name: set by start_server; done, fin ...: by bad_end
# shellcheck source=tests/lib.sh
. "${top_srcdir:-.}/tests/lib.sh"
# shellcheck source=tests/abuse-lib.sh
. "${top_srcdir:-.}/tests/abuse-lib.sh"
require prlimit timeout
plan 56

config <<'END'
workers = 2;
drain_timeout = 1.0;
defaults: {
	options: { tcp_defer_accept = 0; };
	log: { connections = false; };
};
sockets = (
	{ name = "echo"; handler = "echo"; },
	{ name = "wait"; handler = "echo"; limits: { connections = 3; }; },
	{ name = "refuse"; handler = "echo"; limits: { connections = 3; at_limit = "refuse"; }; },
	{ name = "rate"; handler = "echo"; limits: { rate = 50; burst = 5; }; },
	{ name = "srate"; handler = "echo"; limits: { source_rate = 10; source_burst = 5; }; },
	{ name = "prefix"; handler = "echo"; limits: { per_source = 4; source_prefix_v4 = 24; }; },
	{ name = "life"; handler = "echo"; timeouts: { lifetime = 0.5; write = 1.0; }; },
	{ name = "endless"; handler = "echo"; timeouts: { lifetime = 0.5; write = 0; }; },
	{ name = "pace"; handler = "echo"; limits: { bandwidth = 100000; };
	  timeouts: { idle = 0.5; }; },
	{ name = "slow"; handler = "echo"; limits: { bandwidth = 1000; }; timeouts: { lifetime = 0.5; }; },
	{ name = "shrink"; handler = "echo"; limits: { connections = 20; }; timeouts: { idle = 2.0; }; }
);
END
set --
for name in echo wait refuse rate srate prefix life endless pace slow shrink; do
	set -- "$@" --tcp "$name=127.0.0.1:0"
done
check 'it starts' start_server "$@" || exit
start_fds=$(fds "$DAEMON_PID")

# served TARGET [FROM]: one more connection gets its answer.
served() {
	timeout 5 "$abuser" --from "${2:-127.0.0.1}" --send 16 --close "$1" bad 1 </dev/null 3<&- 6<&- |
		grep 'done=1 .* in=16 '
}

# Not within half a second; nothing tells that something does not happen.
waits() {
	timeout 0.5 "$abuser" --send 16 --close "$1" bad 1 </dev/null >/dev/null 3<&- 6<&-
	[ $? = 124 ]
}

milliseconds() {
	echo $(($(date +%s%N) / 1000000))
}

# ---- connections at once

bad_start --send 16 --hold "$TARGET_wait" bad 3
check 'at_limit = "wait": one more waits' waits "$TARGET_wait"
bad_end
is 'at_limit = "wait": the first ones were served' "$open $in" '3 48'
check 'at_limit = "wait": then there is room again' served "$TARGET_wait"
bad --send 16 --close "$TARGET_wait" bad 100
is 'at_limit = "wait": a hundred, three at a time' "$done $in" '100 1600'

bad_start --send 16 --hold "$TARGET_refuse" bad 3
bad_in_use() {
	"$abuser" "$TARGET_refuse" bad 20 </dev/null 3<&- 6<&- |
		grep -E 'done=0 fin=[0-9]+ reset=[0-9]+ failed=0 open=0 in=0 '
}
check 'at_limit = "refuse": wait until the first ones are in' wait_for 5 has_fds "$DAEMON_PID" \
	$((start_fds + 3))
check 'at_limit = "refuse": more are closed at once' bad_in_use
bad_end
is 'at_limit = "refuse": the first ones were served' "$open $in" '3 48'
wait_for 5 has_fds "$DAEMON_PID" "$start_fds"
check 'at_limit = "refuse": then there is room again' served "$TARGET_refuse"
check 'at_limit = "refuse": the log says so' wait_for 5 logged 'refuse: .* was turned away: full'

bad_start --from 127.0.5.1 --sources 10 --send 16 --hold "$TARGET_prefix" bad 10
check 'source_prefix_v4: another prefix has its own' served "$TARGET_prefix" 127.0.6.1
bad_end
is 'source_prefix_v4: addresses of one prefix are one source' "$open $in" '4 64'
# All sockets have one rate of such entries: what was turned away before may have used it up.
too_many_is_logged() {
	bad --from 127.0.5.1 --sources 10 --send 16 --close "$TARGET_prefix" bad 10
	logged 'prefix: 127\.0\.5\..* was turned away: too-many'
}
check 'source_prefix_v4: the log says so' wait_for 5 too_many_is_logged
check 'source_prefix_v4: then there is room again' wait_for 5 served "$TARGET_prefix" 127.0.5.10

# ---- new connections a second

before=$(milliseconds)
bad --send 16 --close "$TARGET_rate" bad 30
at_least 'rate: ms for 30 of 50 a second, 5 at once' $(($(milliseconds) - before)) 400
is 'rate: all are served' "$done $in" '30 480'

bad --from 127.0.0.2 --send 16 --close "$TARGET_srate" bad 20
is 'source_rate: some are served, the others closed' \
	"$((done >= 5 && done < 15)) $((done + ended))" '1 20'
check 'source_rate: another source is served' served "$TARGET_srate" 127.0.0.3
too_fast_is_logged() {
	bad --from 127.0.0.2 --send 16 --close "$TARGET_srate" bad 20
	logged 'srate: 127\.0\.0\.2:.* was turned away: too-fast'
}
check 'source_rate: the log says so' wait_for 5 too_fast_is_logged
check 'source_rate: the source is served again' wait_for 5 served "$TARGET_srate" 127.0.0.2

# ---- lifetime

bad --send 200 --drip 20 "$TARGET_life" bad 3
is 'lifetime: who is active ends as well, by a FIN' "$fin $((in < 600))" '3 1'
at_least 'lifetime: not before the time' "$min_ms" 450
deaf_end() {
	timeout 5 "$abuser" --deaf --send 100000000 "$1" bad 5 </dev/null
}
check 'lifetime: who does not read ends as well' deaf_end "$TARGET_life"
check 'lifetime: also without a time for writing' deaf_end "$TARGET_endless"

# ---- bytes a second

before=$(milliseconds)
bad --send 300000 --close "$TARGET_pace" bad 1
is 'bandwidth: every byte comes; waiting for it is not idle' "$done $in" '1 300000'
at_least 'bandwidth: ms for three seconds of bytes, less a burst' $(($(milliseconds) - before)) 1000

bandwidth_life() {
	timeout 5 "$abuser" --send 100000 "$TARGET_slow" bad 3 </dev/null
}
check 'bandwidth: the lifetime counts' bandwidth_life
bad --send 60000 --reset "$TARGET_slow" bad 30
check 'bandwidth: who has reset its connection is gone' wait_for 5 has_fds "$DAEMON_PID" "$start_fds"

# ---- under pressure

bad "$TARGET_shrink" bad 14
at_least 'idle: all its time where there is room' "$min_ms" 1950
bad_start "$TARGET_shrink" bad 20
check 'idle: with all connections in use one more gets in' served "$TARGET_shrink"
bad_wait
is 'idle: all end by a FIN' "$fin" 20
at_most 'idle: some of them before their time' "$min_ms" 1700
at_most 'lines in the log' "$(lines)" 200
stop_and_check 'it ends with 0'

# ---- output

config <<'END'
workers = 2;
drain_timeout = 1.0;
max_output = 65536;
defaults: { timeouts: { write = 3.0; }; };
sockets = ( { name = "echo"; handler = "echo"; } );
END
check 'max_output: it starts' start_server --tcp echo=127.0.0.1:0
good_start "$TARGET_echo"
bad --deaf --send 100000000 "$TARGET_echo" bad 20
is 'max_output: all that do not read end by a reset' "$reset" 20
check 'max_output: the log says why' wait_for 5 logged 'ended: output-full'
good_end 'max_output'
stop_and_check 'max_output: it ends with 0'

# ---- descriptors

real_server=$server
printf '#!/bin/sh\nexec prlimit --nofile=100:100 "%s" "$@"\n' "$real_server" >"$work/server"
chmod +x "$work/server"
server=$work/server
config <<'END'
workers = 2;
max_connections = 500;
sockets = ( { name = "echo"; handler = "echo"; } );
END
refuses 'max_connections beyond the limit of open files' \
	'max_connections = 500 .* 100.* LimitNOFILE=' --tcp echo=127.0.0.1:0
config <<'END'
workers = 2;
max_connections = 50;
sockets = ( { name = "echo"; handler = "echo"; limits: { connections = 60; }; } );
END
refuses 'limits.connections beyond max_connections' \
	'limits.connections = 60 .* 50 .*max_connections' --tcp echo=127.0.0.1:0
server=$real_server

config <<'END'
workers = 2;
drain_timeout = 1.0;
defaults: { log: { connections = false; }; };
sockets = ( { name = "echo"; handler = "echo"; } );
END
# shellcheck disable=SC2034 # for start_server, here and below
wrapper='prlimit --nofile=64:64'
check 'it starts with 64 descriptors' start_server --tcp echo=127.0.0.1:0
check '200 clients connect and send' clients_start "$TARGET_echo" crowd 200
check 'all are served, some at a time' clients_end
unlike 'and never was a descriptor missing' "$DAEMON_LOG" '[Tt]oo many open files'
stop_and_check 'it ends with 0'
# shellcheck disable=SC2034
wrapper=

check 'it starts with many' start_server --tcp echo=127.0.0.1:0
start_fds=$(fds "$DAEMON_PID")
# Behind its back, so that its limits do not hold any more.
prlimit --pid "$DAEMON_PID" --nofile=64:64

# Of 64; accept() may fail at any of the last few.
all_used() {
	[ "$(fds "$DAEMON_PID")" -ge 60 ]
}

check '200 clients connect and send' clients_start "$TARGET_echo" crowd 200
check 'the server says that it pauses' wait_for 10 logged '[Tt]oo many open files'
check 'it uses what it has' wait_for 10 all_used
if [ "$sanitized" = 1 ]; then
	skip 'it waits quietly' 'a sanitizer has its own threads'
else
	ticks_before=$(ticks "$DAEMON_PID")
	sleep 1 # this is the measurement: a loop that spins takes 100 and more
	at_most 'ticks of CPU time in a second of waiting' $(($(ticks "$DAEMON_PID") - ticks_before)) 5
fi
at_most 'lines in its log about it' \
	"$(grep -Eci 'too many open files|paused' "$DAEMON_LOG")" 1
check 'all 200 are served when descriptors come free' clients_end
check 'and their descriptors are closed' wait_for 10 has_fds "$DAEMON_PID" "$start_fds"

# What systemd has to know at the end does not need a free descriptor.
clients_start "$TARGET_echo" crowd 200
wait_for 10 all_used
stop_server
like 'STOPPING=1 is sent with all descriptors in use' "$NOTIFY_LOG" '^STOPPING=1$'
is 'and it ends with 0' "$daemon_status" 0
clients_end >/dev/null || : # the server has left most of them alone
