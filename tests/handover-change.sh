#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Live connections where the next process is not like the one before: another version, another file, a
# wrong one, fewer descriptors. And where the one before has something under way: a job, a second signal.
# shellcheck disable=SC2034,SC2119,SC2154 # load, port, told, socat: set by keep-lib.sh; begin without an option
# shellcheck source=tests/lib.sh
. "${top_srcdir:-.}/tests/lib.sh"
# shellcheck source=tests/keep-lib.sh
. "${top_srcdir:-.}/tests/keep-lib.sh"
require socat ss
plan 65

many=1000
[ "$sanitized" = 0 ] || many=200

# echo OPTIONS: the file.
echo_with() {
	config <<-END
		sockets = ( { name = "echo"; handler = "echo"; log: { connections = false; };
		              options: { $1 }; } );
	END
}

# ---- another version

# What tells the two apart is the version alone; that of the state is in tests/test-handover.c.
next=$work/next
LC_ALL=C sed 's/simple-server [0-9]*\.[0-9]*\.[0-9]/simple-server 9.9.9/' "$server" >"$next" &&
	chmod 755 "$next" || exit 99
# What the unit had set, to go back to.
mkdir "$work/runtime" || exit 99
export RUNTIME_DIRECTORY="$work/runtime"
check 'a build of another version' test "$("$next" --version)" = 'simple-server 9.9.9'
echo_with ''
begin
check 'connections are open' clients_start "127.0.0.1:$port" idle 100
tell "argument 0 $next"
check 'an upgrade' restarted
is 'the next process is the new one' "$(readlink "/proc/$told/exe")" "$next"
tell "argument 0 $server"
check 'a downgrade' restarted
check 'all connections live, and each byte is right' clients_end
is 'each process took them over' "$(grep -c 'took over 100 of 100 connections' "$DAEMON_LOG")" 2

# ---- a file that is wrong

check 'connections are open' clients_start "127.0.0.1:$port" idle 100
config <<END
sockets = ( { name = "echo"; handler = "ecko"; } );
END
tell restart
check 'a restart with a wrong file' ended
many_failed() {
	[ "$(grep -c 'no handler "ecko"' "$DAEMON_LOG")" -ge 3 ]
}
check 'fails, again and again' wait_for 10 many_failed
echo_with 'so_keepalive = true; tcp_keepidle = 7000;'
until_ready() {
	while read -r said told told_2 <&8; do
		case $said in
		ready) return ;;
		died) [ "$told" = 78 ] || return ;;
		*) return 1 ;;
		esac
	done
}
check 'until the file is right' until_ready
check 'and meanwhile systemd kept the connections' wait_for 5 logged 'took over 100 of 100 connections'

# ---- options of the new file

keepalive() {
	ss -Hnto "sport = :$port" | grep -c 'timer:(keepalive,11[56]min'
}
is 'what the new file says of sockets holds for them too' "$(keepalive)" 100
paced() {
	ss -Hnti "sport = :$port" | grep -Ec 'pacing_rate [^ ]*/800(000|[Kk])bps'
}
config <<END
sockets = ( { name = "echo"; handler = "echo"; limits: { bandwidth = 100000; };
              log: { connections = false; }; } );
END
check 'a restart with a bandwidth' restarted
is 'which holds for them' "$(paced)" 100
echo_with ''
check 'a restart without' restarted
is 'they are slowed down no more' "$(paced)" 0
check 'all connections live, and each byte is right' clients_end

# ---- fewer descriptors than connections

check 'connections are open' clients_start "127.0.0.1:$port" drain 200
tell 'limit 120'
check 'a restart with few descriptors' restarted
check 'some did not arrive, which is said' wait_for 5 logged \
	'connections did not arrive: the limit of open files is lower'
came=$(sed -n 's/.*took over \([0-9]*\) of 200 connections.*/\1/p' "$DAEMON_LOG")
check 'as many as fit are there' test "$came" -ge 60 -a "$came" -lt 120
tell 'limit 1024'
check 'a restart with more' restarted
# Descriptors in flight are counted for the user, with those of his other tests.
if [ "$(id -u)" = 0 ]; then
	check 'which has all of these' wait_for 5 logged "took over $came of $came connections"
else
	skip 'which has all of these' 'others of this user may have descriptors in flight'
fi
check 'serves as ever' "$client" "127.0.0.1:$port" churn 100
finish 'it stops'
check 'each of the 200 has seen a clean end' clients_end

# ---- a process that dies while it takes them over

# One worker, which is in that turn and in no other when it dies.
config <<END
workers = 1;
sockets = ( { name = "echo"; handler = "module"; module = "$top_builddir/tests/modules/poison.so";
              log: { connections = false; }; } );
END
begin
connection deadly && exec 5>"$work/deadly.in" && deadly=$socat
printf 'a\n' >&5
check 'a connection is open' wait_for 5 got deadly a
check 'and many others' clients_start "127.0.0.1:$port" idle $many
tell restart
check 'a restart' ended
# It is the first that is thawed, and its turn comes while the others are.
printf '!\n' >&5
dies() {
	expect ready || return 0
	expect died && [ "$told" = 134 ]
}
check 'and a byte that is the death of the next process' dies
check 'the one after that is ready' expect ready
check 'the connection is closed' wait "$deadly"
tell restart
check 'another restart' ended
printf '!\n' | timeout 20 socat -t 20 - "TCP:127.0.0.1:$port" 2>/dev/null &
deadly=$!
check 'and a new connection that does this' dies
check 'the one after that is ready' expect ready
check 'it is closed too' wait "$deadly"
check 'all others live, and each byte is right' clients_end
is 'the journal has these two' \
	"$(grep -c '1 connections were in the hands of process' "$DAEMON_LOG")" 2
exec 5>&-
finish 'it stops'

# ---- a job

mkdir "$work/lib" && cp "$top_builddir/tests/modules/stuck.so" "$work/lib" &&
	chmod 755 "$work" "$work/lib" "$work/lib/stuck.so" && mkfifo "$work/gate" || exit 99
config <<END
drain_timeout = 20.0;
sockets = ( { name = "echo"; handler = "module"; module = "$work/lib/stuck.so";
              settings: { gate = "$work/gate"; }; log: { connections = false; }; } );
END
begin

# says NAME BYTE: on its connection; the answer is the same byte.
says() {
	printf '%s\n' "$2" >>"$work/$1.in"
}
answered() {
	[ "$(tr -d '\n' <"$work/$1.out")" = "$2" ]
}

connection works && exec 6>"$work/works.in" && works=$socat
connection talks && exec 7>"$work/talks.in"
says talks a
check 'a connection talks' wait_for 5 answered talks a
says works j
in_job() {
	grep -qs 'fifo\|wait_for_partner' "/proc/$told/task/"*/wchan
}
says works b
check 'another one has a job' wait_for 5 in_job
tell restart
check 'a restart' wait_for 5 logged 'restarting: 2 connections go to the next process'
says talks c
check 'waits for the job, and meanwhile serves the others' wait_for 5 answered talks ac
: >"$work/gate"
check 'and goes on when that is done' ended
check 'to the next process' expect ready
check 'the job has its answer, and what came after it too' wait_for 5 answered works jb
says talks d
check 'the other one goes on' wait_for 5 answered talks acd

says works j
check 'a job again' wait_for 5 in_job
check 'a crash in the middle of it' crashed 9
check 'costs that connection' wait "$works"
check 'which is counted' wait_for 5 logged '1 connections were in the hands of process'
says talks e
check 'and no other' wait_for 5 answered talks acde

# Whose client has gone in the meantime, has nobody to wait for.
"$top_builddir/tests/forward-peer" "127.0.0.1:$port" say:j "wait:$work/reset" rst &
resets=$!
check 'a job again' wait_for 5 in_job
: >"$work/reset"
wait $resets
alone() {
	[ "$(ss -Hnt state established "sport = :$port" | wc -l)" = 1 ]
}
check 'and its client resets' wait_for 5 alone
before=$(date +%s)
tell restart
check 'a restart' ended
at_most 'does not wait for it, s' $(($(date +%s) - before)) 10
check 'the next process is ready' expect ready
says talks f
check 'and goes on' wait_for 5 answered talks acdef

# ---- a second signal

connection works2 && exec 6>"$work/works2.in" && works=$socat
says works2 j
check 'a job again' wait_for 5 in_job
tell restart
check 'a restart waits for it' wait_for 5 logged 'restarting: 2 connections go'
tell 'send 15'
check 'a second signal ends it' wait "$works"
: >"$work/gate"
check 'with what it has' ended
check 'and the next process starts' expect ready
exec 6>&- 7>&-
finish 'it stops'
