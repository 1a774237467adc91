#!/bin/sh
# SPDX-License-Identifier: MIT
#
# WATCHDOG=1 comes as long as everything moves; a worker that hangs ends the process, and is named. What
# waits for others, as a job or a frozen process, is no hang.
# shellcheck disable=SC2034,SC2154 # server_env, wrapper: of start_server, which sets DAEMON_PID, ...
# shellcheck source=tests/lib.sh
. "${top_srcdir:-.}/tests/lib.sh"
require socat
plan 19

fed() { # fed N: N times since the start
	[ "$(grep -c '^WATCHDOG=1$' "$NOTIFY_LOG")" -ge "$1" ]
}

fed_again() { # fed_again N: N times from now on
	fed_goal=$(($(grep -c '^WATCHDOG=1$' "$NOTIFY_LOG") + $1))
	wait_for 20 fed "$fed_goal"
}

echo_config echo
server_env=WATCHDOG_USEC=1000000
start_server --tcp echo=127.0.0.1:0
check 'an idle server says that it lives' fed_again 1
before=$(sleeps "$DAEMON_PID")
check 'and goes on' fed_again 4
if [ "$sanitized" = 1 ]; then skip 'it wakes up for that alone' 'threads of the sanitizer wake up too'
else at_most 'it wakes up for that alone' $(($(sleeps "$DAEMON_PID") - before)) $((5 * 5 * $(nproc))); fi
kill -STOP "$DAEMON_PID"
sleep 2 # twice the time of the watchdog: it is late when it goes on
kill -CONT "$DAEMON_PID"
check 'a process that was frozen goes on' fed_again 2
stop_and_check 'and stops'

check 'a watchdog that is not in microseconds is refused' refusal 78 --tcp echo=127.0.0.1:0 \
	--override WATCHDOG_USEC=30s
like 'by its name' "$DAEMON_LOG" 'WATCHDOG_USEC'

mkdir "$work/lib" && cp "$top_builddir/tests/modules/stuck.so" "$work/lib" &&
	chmod 755 "$work" "$work/lib" "$work/lib/stuck.so" && mkfifo "$work/gate" &&
	chmod 666 "$work/gate" || exit 99
allow_root="$allow_root --allow-own-modules"
config <<END
workers = 2;
pool_threads = 1;
job_budget = 0.5;
drain_timeout = 0;
sockets = (
  { name = "stuck"; handler = "module"; module = "$work/lib/stuck.so";
    timeouts: { linger = 0.1; }; settings: { gate = "$work/gate"; }; }
);
END

say() {
	printf '%s' "$1" | timeout 60 socat -t 60 - "TCP:127.0.0.1:$PORT_stuck" >"$work/answer.$2" &
}

# A pool whose only thread is in a job, while another one waits.
server_env=WATCHDOG_USEC=1000000
start_server --self-stop --timeout 30 --tcp stuck=127.0.0.1:0
say j 1
say j 2
check 'a job that takes long is named' wait_for 10 logged 'a job of connection [0-9]+ has been running for'
check 'but is no hang' fed_again 5
# Opened for writing: the jobs return. For both at once: the first one out may have let the second one by,
# and then an open() for that one would wait for ever.
exec 5>"$work/gate"
check 'and is answered when it is done' wait_for 10 test -s "$work/answer.1"
check 'so is the other one' wait_for 10 test -s "$work/answer.2"
exec 5>&-
end_play

# A worker that hangs in a callback.
server_env=WATCHDOG_USEC=2000000
start_server --self-stop --timeout 30 --tcp stuck=127.0.0.1:0
fed_again 1
began=$(date +%s%N)
say x 3
check 'a worker that hangs is the end of the process' wait_for 20 gone "$DAEMON_PID"
at_most 'within the time and a second, in ms' $((($(date +%s%N) - began) / 1000000)) 3000
stop_server
is 'by SIGABRT' "$daemon_status" 134
like 'the log names the worker and what it is in' "$DAEMON_LOG" \
	'worker-[01] has not answered for [0-9.]+ s: it is in data\(\) of handler stuck \(socket stuck\), connection [0-9]+'
if [ "$sanitized" = 1 ]; then skip 'the thread that hung has the signal' 'the sanitizer reports crashes'
else like 'the thread that hung has the signal' "$DAEMON_LOG" 'SIGABRT in data\(\) of handler stuck'; fi
end_play

# A worker that hangs elsewhere; strace holds it in a system call, where it cannot even take a signal.
if ! command -v strace >/dev/null || [ "$sanitized" = 1 ] || ! strace -o /dev/null true 2>/dev/null; then
	skip 'a worker that hangs elsewhere is the end too' 'strace cannot be used here' 3
else
	echo_config echo
	server_env=WATCHDOG_USEC=1000000
	wrapper="strace -D -f -o $work/strace -e trace=recvfrom -e inject=recvfrom:delay_enter=30s:when=1"
	start_server --self-stop --timeout 40 --tcp echo=127.0.0.1:0
	wrapper=
	clients_start "$TARGET_echo" crowd 1
	check 'a worker that hangs elsewhere is the end too' wait_for 20 logged 'SIGABRT in'
	like 'it is named' "$DAEMON_LOG" 'worker-[0-9]+ has not answered for [0-9.]+ s: it is in no callback'
	stop_server
	is 'by SIGABRT as well' "$daemon_status" 134
	clients_end >/dev/null
	end_play
fi
