# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2086,SC2154
#
# What hangs is ended: a worker by the process itself, the process by systemd. What is only slow is not.

mkfifo -m 666 /out/gate

hang_by() { # hang_by STOP: the module hangs at an "x", and at the stop if STOP is true
	configure <<-END
		workers = 2;
		sockets = (
		  { name = "echo"; handler = "module"; module = "/out/stuck.so";
		    settings: { gate = "/out/gate"; stop = $1; }; }
		);
	END
}

watchdog() { # watchdog SECONDS
	add_drop_in simple-server.service <<-END
		[Service]
		WatchdogSec=$1s
		TimeoutStopSec=1s
		Nice=19
	END
}

fed() { # fed TIMES: WATCHDOG=1 comes so often from now on
	local before now times=0 tries
	before=$(of_service WatchdogTimestampMonotonic)
	for ((tries = 0; tries < 20 * PATIENCE; tries++)); do
		now=$(of_service WatchdogTimestampMonotonic)
		[ "$now" = "$before" ] || times=$((times + 1))
		[ "$times" -lt "$1" ] || return 0
		before=$now
		sleep 0.1
	done
	return 1
}

ok "the unit has a watchdog" grep -q "^WatchdogSec=" "$SERVICE"

# A worker that hangs in a module.
hang_by false
watchdog 2
start_socket
ok "it serves" serves
ok "it says that it lives" fed 2
begin=$EPOCHREALTIME
connect
printf x >&"$peer"
ok "a worker that hangs is the end of the process" wait_entry EVENT=watchdog
note "$(field MESSAGE)"
like "$(field MESSAGE)" '^worker-[01] .* data\(\) of handler stuck \(socket echo\)' "it is named"
is "$(field HANDLER)" stuck "so is the handler"
ok "systemd takes it for a failure" wait_entry UNIT=simple-server.service EXIT_STATUS=6
ok "and the next process is ready" wait_entries 2 EVENT=ready
took=$((($(field __REALTIME_TIMESTAMP) - ${begin/./}) / 1000))
note "after $took ms"
ok "in time" test $took -lt 3000
hang_up
ok "it serves" serves
is "$(of_service NRestarts)" 1 "after one restart"

# A machine that has no time for it.
pid=$(main_pid)
hogs=()
for _ in 1 2 3 4; do
	while :; do :; done &
	hogs+=($!)
done
ok "at the lowest priority on a busy machine it lives" fed 4
ok "and serves" serves
kill "${hogs[@]}"
wait "${hogs[@]}" 2>/dev/null
is "$(main_pid)" "$pid" "the same process"

# A process that hangs in its stop; a client that comes meanwhile waits.
hang_by true
systemctl restart simple-server.service
ok "it serves" serves
mark "hung stop"
begin=$EPOCHREALTIME
systemctl --quiet stop simple-server.service &
stop=$!
ok "the stop begins" wait_entry EVENT=stopping
connect
ok "a stop that hangs ends" wait "$stop"
took=$(((${EPOCHREALTIME/./} - ${begin/./}) / 1000))
note "after $took ms"
ok "soon" test $took -lt 9000
ok "not by itself" wait_entry UNIT=simple-server.service EXIT_STATUS=9
ok "who came meanwhile is served by the next process" echoes "patience"
hang_up
hang_by false
systemctl kill --kill-who=main --signal=KILL simple-server.service
rm /out/gate
