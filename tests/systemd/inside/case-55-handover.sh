# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2086,SC2154
#
# Live connections over restarts, an upgrade and crashes. LIVE, RESTARTS and KILLS are from the
# environment of check-systemd.sh.

start_socket
configure <<-END
	sockets = ( { name = "echo"; handler = "echo"; log: { connections = false; }; } );
END
ok "it serves" serves
kept=$(of_service NFileDescriptorStore)
like "$kept" '^[2-9]$' "systemd keeps a handful of descriptors for it"

mark handover
hold idle -c $LIVE --interval 1
ok "$LIVE connections are open" are_live $LIVE
restart_often() {
	local n
	for ((n = 0; n < RESTARTS; n++)); do
		systemctl restart simple-server.service || return
	done
}
"$load" -q -m churn -c 4 -d 200 127.0.0.1:$PORT >/run/check/churned 2>&1 &
churn=$!
begin=$EPOCHREALTIME
ok "$RESTARTS restarts, while others come and go" restart_often
note "one restart took $(((${EPOCHREALTIME/./} - ${begin/./}) / RESTARTS / 1000)) ms"
kill -INT $churn
ok "nobody of these was refused or cut off" wait $churn
note "$(grep -m 1 'connections' /run/check/churned)"
ok "all $LIVE live, each byte is right" release
is "$(entries "handed over [0-9]+ connections")" $RESTARTS "each process gave them away"
is "$(entries "were not taken over|did not arrive|cannot be handed")" 0 "and none was left behind"
is "$(of_service NFileDescriptorStore)" "$kept" "systemd keeps no more than before"

# Between two proofs nothing of a connection is in user space.
mark killed
hold idle -c $LIVE --interval 300
ok "$LIVE connections are open" are_live $LIVE
ok "$KILLS times killed, $KILLS times back" kill_often
ok "all $LIVE live, each byte is right" release
is "$(entries "in the hands of")" 0 "none was lost"

mark busy
hold echo -c 50
ok "50 connections talk" are_live 50
systemctl kill --kill-who=main --signal=SEGV simple-server.service
ok "a crash in the middle of that" wait_entry -u simple-server EVENT=taken-over
note "$(field MESSAGE)"
kill -INT "$holder"
wait "$holder"
lost=$(journal_since -o cat -u simple-server.service |
	sed -n 's/^\([0-9]*\) connections were in the hands.*/\1/p')
note "${lost:-0} lost; the client: $(grep -A 12 '"errors"' /run/check/held | tr -d ' \n' | head -c 300)"
ok "costs no more than those in the hands of a thread" test "${lost:-0}" -le 50
like "$(grep -m 1 '"wrong_bytes"' /run/check/held)" ' 0,?$' "no byte is wrong"

mark stop
connect
ok "a connection is open" echoes "before the stop"
systemctl stop simple-server.service
ok "a stop ends it, by a FIN" ends_with_fin "$peer"
hang_up
is "$(of_service NFileDescriptorStore)" 0 "and systemd keeps nothing"

mark full
add_drop_in simple-server.service <<-END
	[Service]
	FileDescriptorStoreMax=0
END
ok "a service that may store nothing" serves
connect
ok "has a connection" echoes "before the restart"
systemctl restart simple-server.service
ok "which a restart ends, by a FIN" ends_with_fin "$peer"
hang_up
is "$(entries "cannot be handed over.*FileDescriptorStoreMax=")" 1 "the journal says why"
ok "and it serves on" serves
