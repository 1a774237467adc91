# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2086,SC2154
#
# systemctl reload: with a right file, a wrong one, and none; from the outside nothing else is to be seen.

# is_served BYTES: the client that stays.
is_served() {
	local peer=$kept
	echoes "$1"
}

with ''
start_socket
ok "it serves" serves
pid=$(main_pid)
connect
kept=$peer
ok "a client stays" is_served "before"
with 'limits: { per_source = 7; };'
ok "a reload" reloads
like "$(field MESSAGE)" 'reloaded with 1 change, and 0 that need a restart' "has its entry in the journal"
like "$(journal_since EVENT=reload -o cat)" 'echo: limits.per_source = 7 \(was 0\)' "with what changed"
is "$(main_pid)" "$pid" "it is the same process"
ok "the client is still served" is_served "after"

with 'limits: { per_sorce = 7; };'
mark "a wrong file"
ok "with a wrong file the reload fails" not systemctl --quiet reload simple-server.service
like "$(journal_since -o cat)" "$CONFIG:2: .*per_sorce" "and says why"
is "$(count_entries EVENT=reload)" 0 "the service does not hear of it"
is "$(main_pid)" "$pid" "and is the same"
is "$(of_service ActiveState)" active "and well"
ok "the client is still served" is_served "wrong"
ok "and so is another one" serves

mark "a signal"
systemctl kill --kill-who=main --signal=HUP simple-server.service
ok "by the signal alone it is told" wait_entry EVENT=reload PRIORITY=3
wait_status() {
	local tries
	for ((tries = 0; tries < 100; tries++)); do
		[[ $(of_service StatusText) =~ $1 ]] && return
		read -r -t 0.1 <> <(:)
	done
	return 1
}
ok "the status says so" wait_status 'the reload has failed: .*per_sorce'

with 'handler2 = "x";'
ok "an unknown key" not systemctl --quiet reload simple-server.service
configure <<-END
	workers = 7;
	sockets = ( { name = "echo"; handler = "discard"; log: { connections = false; }; } );
END
ok "what takes a restart is no failure" reloads
like "$(field MESSAGE)" 'reloaded with 1 change, and 2 that need a restart' "and is told"
like "$(journal_since EVENT=reload PRIORITY=4 -o cat)" 'needs a restart: echo: handler' "by name"
ok "it is as before" is_served "restart"
with ''
ok "back again" reloads
ok "the client has been there all the time" is_served "end"
exec {kept}>&-

often() {
	local n
	for ((n = 0; n < 20; n++)); do
		with "limits: { per_source = $((100 + n)); }; options: { so_rcvbuf = $((70000 + n)); };"
		reloads || return
	done
}
start_knocking
ok "20 reloads" often
stop_knocking
is "$refused" 0 "nobody was refused"
is "$lost" 0 "nobody was cut off"
is "$(main_pid)" "$pid" "by one process"
is "$(of_service ActiveState)" active "which systemd takes for active"
