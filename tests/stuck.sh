#!/bin/sh
# SPDX-License-Identifier: MIT
#
# A callback of a module that does not return: it is named while it hangs, the other workers go on, and
# the server ends all the same when it is told to.
# shellcheck disable=SC2154 # DAEMON_PID, PORT_stuck: set by start_server
# shellcheck source=tests/lib.sh
. "${top_srcdir:-.}/tests/lib.sh"
require socat
plan 13

mkdir "$work/lib" && cp "$top_builddir/tests/modules/stuck.so" "$work/lib" &&
	chmod 755 "$work" "$work/lib" "$work/lib/stuck.so" && mkfifo "$work/gate" &&
	chmod 666 "$work/gate" || exit 99
allow_root="$allow_root --allow-own-modules"
config <<END
workers = 2;
callback_budget = 0.2;
drain_timeout = 0;
sockets = (
  { name = "stuck"; handler = "module"; module = "$work/lib/stuck.so";
    timeouts: { linger = 0.1; }; settings: { gate = "$work/gate"; }; }
);
END
check 'it starts' start_server --self-stop --timeout 30 --tcp stuck=127.0.0.1:0

answers() {
	[ "$(printf y | timeout 5 socat -t 5 - "TCP:127.0.0.1:$PORT_stuck")" = y ]
}

hang() {
	printf x | timeout 30 socat -t 30 - "TCP:127.0.0.1:$PORT_stuck" >"$work/answer" &
	client=$!
}

check 'it answers' answers
hang
check 'a callback that hangs is named' wait_for 10 logged \
	'handler stuck \(socket stuck\): data\(\) of connection [0-9]+ has not returned for'
check 'the other worker serves' answers
: >"$work/gate" # opened for writing: the callback returns
wait "$client"
is 'the one that hung is answered' "$(cat "$work/answer")" x
check 'and how long it took is logged' wait_for 5 logged 'data\(\) of connection [0-9]+ took'

hang
hung_twice() {
	[ "$(grep -c 'has not returned' "$DAEMON_LOG")" = 2 ]
}
check 'it hangs again' wait_for 10 hung_twice
kill -TERM "$DAEMON_PID"
check 'it ends nevertheless' wait_for 20 gone "$DAEMON_PID"
stop_server
is 'with the exit status of a failure' "$daemon_status" 70
check 'and says why' logged 'does not return: it ends with the process'
kill "$client" 2>/dev/null
end_play

# A restart waits for no worker that hangs either.
check 'it starts again' start_server --self-stop --timeout 30 --tcp stuck=127.0.0.1:0
hang
check 'a callback hangs' wait_for 10 logged 'has not returned for'
kill -USR1 "$DAEMON_PID"
check 'it ends when it should hand its connections over' wait_for 20 gone "$DAEMON_PID"
stop_server
kill "$client" 2>/dev/null
end_play
