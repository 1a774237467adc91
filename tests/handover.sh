#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Live connections go to the next process: over restarts, over crashes, and what happens where they
# cannot. keep-systemd plays PID 1 with its fd store.
# shellcheck disable=SC2154 # sanitized: set by lib.sh; load, port, told, told_2, socat: by keep-lib.sh
# shellcheck source=tests/lib.sh
. "${top_srcdir:-.}/tests/lib.sh"
# shellcheck source=tests/keep-lib.sh
. "${top_srcdir:-.}/tests/keep-lib.sh"
require socat ss
plan 69

many=1000
[ "$sanitized" = 0 ] || many=200

# took_over N: so many times after a crash.
took_over() {
	[ "$(grep -c "took over $many of $many .* which has died" "$DAEMON_LOG")" = "$1" ]
}

# ---- restarts

config <<END
sockets = ( { name = "echo"; handler = "echo"; log: { connections = false; }; } );
END
begin
check "$many connections are open" clients_start "127.0.0.1:$port" idle $many
for _ in 1 2 3; do
	check 'a restart' restarted
	is 'systemd kept two descriptors for them' "$told_2" 2
done
check 'all of them live, and each byte is right' clients_end
is 'each process took them over' "$(grep -c "took over $many of $many connections" "$DAEMON_LOG")" 3

check 'connections that do not read are stuck' clients_start "127.0.0.1:$port" slow 20
check 'a restart in the middle of their bytes' restarted
check 'each byte arrives, once' clients_end

"$client" --timeout 60 "127.0.0.1:$port" random 200 >"$work/random" 2>&1 &
random=$!
ok_restarts=0
for _ in 1 2 3 4 5; do
	restarted && ok_restarts=$((ok_restarts + 1))
done
is 'five restarts under 200 connections that talk and half-close' "$ok_restarts" 5
check 'each of their bytes is right' wait "$random"

"$load" -q -m churn -c 4 -d 1.5 "127.0.0.1:$port" >"$work/churn" 2>&1 &
churn=$!
ok_restarts=0
for _ in 1 2 3 4 5; do
	restarted && ok_restarts=$((ok_restarts + 1))
done
is 'five restarts while clients come and go' "$ok_restarts" 5
check 'none of them is refused or cut off' wait "$churn"

# ---- crashes

check "$many connections are open" clients_start "127.0.0.1:$port" idle $many
# Its last lines die with a process: the next blow waits for that one.
died=0
for signal in 9 11 6; do
	check "a death by signal $signal" crashed $signal
	died=$((died + 1))
	check 'the next process took them over' wait_for 10 took_over $died
done
check 'all connections live, and each byte is right' clients_end

# The keeper is the only child.
pid=$told
keeper() {
	cat "/proc/$pid/task/"*/children 2>/dev/null
}
check 'there is a keeper' test -n "$(keeper)"
old_keeper=$(keeper)
check 'connections are open' clients_start "127.0.0.1:$port" idle 100
# shellcheck disable=SC2086 # one number
kill -9 $old_keeper
another() {
	[ -n "$(keeper)" ] && [ "$(keeper)" != "$old_keeper" ]
}
check 'where it is killed another one follows' wait_for 5 another
check 'and keeps them' crashed 9
check 'as they are' clients_end

# What is in user space is lost with the process, and nothing else.
check 'connections are open' clients_start "127.0.0.1:$port" idle 50
"$load" -q -m deaf -c 5 -d 30 "127.0.0.1:$port" >/dev/null 2>&1 &
deaf=$!
# Nothing moves any more, on no side.
stuck() {
	before=$queues
	queues=$(ss -Hnt "dport = :$port or sport = :$port" | awk '$2 + $3 > 0' | sort)
	[ "$queues" = "$before" ] && [ "$(printf '%s\n' "$queues" | wc -l)" -ge 10 ]
}
queues=
check 'and five whose answers wait in memory' wait_for 10 stuck
check 'a crash' crashed 9
check 'the others live' clients_end
check 'those are closed, and counted' logged '5 connections were in the hands of process'
kill "$deaf" 2>/dev/null
wait "$deaf"
finish 'it stops'
# It has a word for each of the signals above.
unlike 'without another word of a sanitizer' "$DAEMON_LOG" \
	'ERROR: (Leak|Address)Sanitizer: [a-z]|WARNING: ThreadSanitizer|runtime error:'

# ---- where it cannot be

begin --store 0
check 'connections are open' clients_start "127.0.0.1:$port" drain 50
tell restart
check 'a restart without a store ends them cleanly' clients_end
check 'which is said' logged 'FileDescriptorStoreMax='
expect died && expect ready
check 'and the next process serves' "$client" "127.0.0.1:$port" churn 50
finish 'it stops'

# ---- state

config <<END
sockets = ( { name = "echo"; handler = "module"; module = "$top_builddir/tests/modules/tally.so";
              log: { connections = false; }; } );
END
begin
connection first
exec 6>"$work/first.in"
printf 'one\ntw' >&6
check 'a module with a state' wait_for 10 got first '1: one'
check 'a restart in the middle of a line' restarted
printf 'o\nthree\n' >&6
check 'the state and the half line went along' wait_for 10 got first '2: two'
check 'and it goes on' wait_for 10 got first '3: three'
config <<END
sockets = ( { name = "echo"; handler = "module"; module = "$top_builddir/tests/modules/tally-2.so";
              log: { connections = false; }; } );
END
check 'an upgrade that does not know the state' restarted
check 'refuses the connection' wait "$socat"
exec 6>&-
config <<END
sockets = ( { name = "echo"; handler = "echo"; log: { connections = false; }; } );
END
check 'a restart with echo' restarted
check 'connections are open' clients_start "127.0.0.1:$port" drain 10
config <<END
sockets = ( { name = "echo"; handler = "discard"; log: { connections = false; }; } );
END
check 'a restart with another handler' restarted
check 'closes them' clients_end
check 'which is said' logged '10 connections were not taken over and are closed: .*handler'
finish 'it stops'

# ---- a reader that has stopped: nothing happens on its connection, and it goes along all the same

config <<END
sockets = ( { name = "echo"; handler = "chargen"; timeouts: { write = 3.0; }; } );
END
begin
timeout 60 socat -u "TCP:127.0.0.1:$port" EXEC:'sleep 60' 2>/dev/null &
stopped=$!
full() {
	before=$queues
	queues=$(ss -Hnt "sport = :$port" | awk '$3 > 0')
	[ -n "$queues" ] && [ "$queues" = "$before" ]
}
queues=
check 'chargen to somebody who does not read' wait_for 10 full
check 'a restart' restarted
check 'and another one' restarted
check 'its time for taking nothing still runs' wait_for 15 logged 'ended: write-timeout'
kill "$stopped" 2>/dev/null
finish 'it stops'

# ---- pairs

socat -t 60 "UNIX-LISTEN:$work/back,fork,backlog=1024" EXEC:cat 2>/dev/null &
back=$!
trap '[ -z "$keep_pid" ] || kill "$keep_pid"; kill "$back"; cleanup' EXIT
check 'there is a back end' wait_for 10 test -S "$work/back"
config <<END
sockets = ( { name = "echo"; handler = "forward"; log: { connections = false; };
              settings: { target = "$work/back"; }; } );
END
begin
check 'forwarded connections are open' clients_start "127.0.0.1:$port" idle 50
check 'a restart' restarted
check 'another one' restarted
check 'they live, and each byte is right' clients_end
check 'some are stuck, with bytes in pipes and queues' clients_start "127.0.0.1:$port" slow 5
check 'a restart in the middle of that' restarted
check 'each byte arrives, once' clients_end
"$client" --timeout 60 "127.0.0.1:$port" random 40 >"$work/random" 2>&1 &
random=$!
ok_restarts=0
for _ in 1 2 3 4 5; do
	restarted && ok_restarts=$((ok_restarts + 1))
done
is 'five restarts under 40 that talk and half-close' "$ok_restarts" 5
check 'each of their bytes is right' wait "$random"
finish 'it stops'
