# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2086,SC2154
#
# All at once: live connections that talk, new ones at a rate, and meanwhile restarts, reloads, an
# upgrade, a downgrade; then crashes. LIVE, RATE, RESTARTS, RELOADS and KILLS are from the environment of
# check-systemd.sh, and so is the build of another version.

# The clients that come and go use more ports than one address has in a minute.
start_churn() {
	"$load" -q --json -m churn -c 1000 -r $RATE --source 127.0.2.1-127.0.2.16 --timeout 20 -d 500 \
		127.0.0.1:$PORT >/run/check/churned 2>&1 &
	churn=$!
}

stop_churn() {
	kill -INT $churn
	wait $churn
}

# of FILE KEY...: the number after the keys, each the first one behind the one before.
of() {
	local text key
	text=$(<"$1")
	shift
	for key; do
		text=${text#*\""$key"\":}
	done
	[[ $text =~ ^[[:space:]]*([0-9]+) ]] && echo "${BASH_REMATCH[1]}"
}

tell_churn() {
	note "$(of /run/check/churned total requests) connections at $RATE a second, the longest took" \
		"$(($(of /run/check/churned latency corrected max_ns) / 1000000)) ms"
}

version_of_service() {
	"/proc/$(main_pid)/exe" --version
}

reload_often() { # reload_often COUNT
	local n
	for ((n = 0; n < $1; n++)); do
		with "limits: { per_source = $((100000 + RANDOM)); }; options: { so_rcvbuf = $((70000 + RANDOM)); };"
		reloads || return
	done
}

# One round: its share of the reloads, then a restart, some of them into another version.
round() {
	local n=$1
	reload_often $(((n + 1) * RELOADS / RESTARTS - n * RELOADS / RESTARTS)) || return
	if ((n == RESTARTS / 3)); then
		mount --bind /out/next "$server" || return
	elif ((n == RESTARTS * 2 / 3)); then
		upgraded=$(version_of_service)
		umount --lazy "$server" || return
	fi
	local begin=$EPOCHREALTIME
	systemctl restart simple-server.service || return
	restart_us=$((restart_us + ${EPOCHREALTIME/./} - ${begin/./}))
}

everything() {
	local n
	for ((n = 0; n < RESTARTS; n++)); do
		round $n || return
	done
}

server=$(command -v simple-server)
version=$(simple-server --version)
with ''
start_socket
ok "it serves" serves

upgraded=
restart_us=0
mark "restarts"
all_cursor=$cursor
hold idle -c $LIVE --interval 1 --timeout 20
ok "$LIVE connections are open" are_live $LIVE
start_churn
ok "$RESTARTS restarts, $RELOADS reloads, an upgrade and a downgrade" everything
note "one restart took $((restart_us / RESTARTS / 1000)) ms"
ok "of $RATE new connections a second nobody was refused or cut off" stop_churn
tell_churn
ok "all $LIVE live, each byte is right" release
cursor=$all_cursor
is "$(entries "handed over [0-9]+ connections")" $RESTARTS "each process gave them away"
is "$(entries "took over ([0-9]+) of \1 connections")" $RESTARTS "the next one took them all"
is "$(entries "reloaded with")" $RELOADS "each reload was done"
like "$upgraded" '^simple-server [0-9]' "the one in between was of a version"
ok "and of another one" not same "$upgraded" "$version"
is "$(version_of_service)" "$version" "and this is the first one again"
is "$(of_service NRestarts)" 0 "systemd saw no failure"

mark "crashes"
hold idle -c $LIVE --interval 1 --timeout 20
ok "$LIVE connections are open" are_live $LIVE
start_churn
ok "$KILLS times killed, $KILLS times back" kill_often
stop_churn
tell_churn
release >/dev/null
lost=0
while read -r count; do
	lost=$((lost + count))
done < <(journal_since -o cat -u simple-server.service |
	sed -n 's/^\([0-9]*\) connections were in the hands.*/\1/p')
broken=0
for file in held churned; do
	for kind in connect connect_timeout answer_timeout wrong_bytes extra_bytes system; do
		is "$(of /run/check/$file latency errors $kind)" 0 "$file: no $kind"
	done
	broken=$((broken + $(of /run/check/$file latency errors reset) + $(of /run/check/$file latency errors short)))
done
note "$broken of $((KILLS * LIVE)) and of those that came and went were cut off; the journal has $lost"
# Of one that is just being accepted or closed nobody has a note.
ok "no more than were in the hands of a thread" test "$broken" -le $((lost + KILLS * 64))
ok "and it serves" serves
