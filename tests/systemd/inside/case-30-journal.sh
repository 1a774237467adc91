# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2086,SC2154
#
# What `journalctl` has of a start and of one connection.

start_socket
canary="canary-$RANDOM$RANDOM"
connect
ok "it serves" echoes "$canary"
hang_up

ok "there is an entry about the start" wait_entry -u simple-server EVENT=ready
like "$(field MESSAGE_ID)" '^[0-9a-f]{32}$' "with a MESSAGE_ID"
is "$(field SYSLOG_IDENTIFIER)" simple-server "with the name of the service"
is "$(field _TRANSPORT)" journal "sent as a structured entry"
ready_id=$(field MESSAGE_ID)

ok "there is an entry about the connection" wait_entry -u simple-server EVENT=connection
note "$(field MESSAGE)"
like "$(field MESSAGE_ID)" '^[0-9a-f]{32}$' "with a MESSAGE_ID"
ok "of its own" not same "$(field MESSAGE_ID)" "$ready_id"
connection_id=$(field MESSAGE_ID)
is "$(field SOCKET)" echo "with SOCKET="
is "$(field HANDLER)" echo "with HANDLER="
like "$(field PEER)" '^127\.0\.0\.1:[0-9]+$' "with PEER="
like "$(field CONNECTION)" '^[0-9]+$' "with CONNECTION="
is "$(field BYTES_IN)" ${#canary} "with BYTES_IN="
is "$(field BYTES_OUT)" ${#canary} "with BYTES_OUT="
like "$(field DURATION_USEC)" '^[0-9]+$' "with DURATION_USEC="
is "$(field REASON)" peer-closed "with REASON="
like "$(field PRIORITY)" '^[67]$' "it is no warning"

first=$(field CONNECTION)
ok "another client is served" serves
ok "and logged" wait_entries 2 -u simple-server EVENT=connection
ok "under another CONNECTION=" not same "$(field CONNECTION)" "$first"

# A path for the kernel's RST: unread bytes at the close of a client.
connect
printf 'never read' >&"$peer"
read -r -N 1 -t $PATIENCE _ <&"$peer"
hang_up
ok "a client that resets is logged" wait_entries 3 -u simple-server EVENT=connection
is "$(field REASON)" reset "as that"

systemctl --quiet stop simple-server.service
ok "there is an entry when it begins to stop" wait_entry -u simple-server EVENT=stopping
ok "and one when it has stopped" wait_entry -u simple-server EVENT=stopped

explained() { # explained ID TEXT: the catalog's text for the first such entry has TEXT
	journal_since -x "MESSAGE_ID=$1" >/run/check/explained
	grep -q "Subject: .*$2" /run/check/explained && ! grep -q '@[A-Z_]*@' /run/check/explained
}
ok "journalctl -x explains the start" explained "$ready_id" 'simple-server'
ok "journalctl -x explains the connection" explained "$connection_id" '127\.0\.0\.1:'

ids() {
	journal_since -o json -t simple-server |
		sed -n 's/.*"MESSAGE_ID":"\([0-9a-f]*\)".*/\1/p' | sort -u
}

all_ids_are_in_the_catalog() {
	local id
	for id in $(ids); do
		journalctl --list-catalog "$id" >/run/check/catalog 2>&1 && continue
		note "$id is not in the catalog"
		return 1
	done
}
ok "the catalog has all that was logged" all_ids_are_in_the_catalog

no_canary() {
	! journal_since -o export | grep -q "$canary"
}
ok "what a client sends is not in the journal" no_canary
