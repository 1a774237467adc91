# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2086,SC2154
#
# What outlives a process, and clients to prove it by: simple-client holds connections.

load=$(command -v simple-client)

live_connections() {
	grep -c "^ *[0-9]*: 0100007F:$(printf %04X $PORT) .* 01 " /proc/net/tcp
}

are_live() {
	local tries
	for ((tries = 0; tries < 300; tries++)); do
		[ "$(live_connections)" -ge "$1" ] && return
		sleep 0.1
	done
	return 1
}

# hold MODE OPTION...: connections of simple-client until release, which has its verdict.
hold() {
	"$load" -q --json -m "$@" -d 500 127.0.0.1:$PORT >/run/check/held 2>&1 &
	holder=$!
}

release() {
	kill -INT "$holder"
	wait "$holder" && return
	tail -n 60 /run/check/held | note
	return 1
}

entries() { # entries REGEX: how many messages match
	journal_since -o cat -u simple-server.service | grep -cE "$1"
}

kill_often() {
	local n
	for ((n = 1; n <= KILLS; n++)); do
		systemctl kill --kill-who=main --signal=KILL simple-server.service || return
		wait_entries $n -u simple-server.service -g '^took over' || return
		serves || return
	done
}

with() { # with KEYS OF THE ENTRY
	configure <<-END
		sockets = (
		  { name = "echo"; handler = "echo"; log: { connections = false; }; $1 }
		);
	END
}

# The job is done when the process has its signal; the entry comes when it has done its part.
reloads() {
	mark "reload"
	systemctl reload simple-server.service && wait_entry EVENT=reload PRIORITY=5
}
