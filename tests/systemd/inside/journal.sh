# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# The journal as a user reads it, from a mark on. Each case begins with a mark.

# mark TEXT: an entry of its own. (--after-cursor= with a match leaves out the first that matches.)
mark() {
	echo "MESSAGE=--- $1" | logger --journald
	journalctl --sync
	cursor=$(journalctl -t logger -n 1 -o cat --show-cursor | sed -n 's/^-- cursor: //p')
}

# journal_since ARGUMENTS OF journalctl...
journal_since() {
	journalctl --sync
	journalctl --no-pager --quiet --cursor="$cursor" "$@"
}

# wait_entries COUNT MATCH...: waits for COUNT entries since the mark; the last, as JSON, is
# $entry.
wait_entries() {
	local count=$1 got=0 reader
	shift
	entry=
	exec {follow}< <(exec journalctl --quiet --follow --no-tail --cursor="$cursor" -o json "$@")
	reader=$!
	while [ "$got" -lt "$count" ] && read -r -t "$PATIENCE" entry <&"$follow"; do
		got=$((got + 1))
	done
	kill "$reader"
	exec {follow}<&-
	[ "$got" = "$count" ]
}

wait_entry() {
	wait_entries 1 "$@"
}

count_entries() {
	journal_since -o cat "$@" | grep -c ''
}

# field NAME: of $entry; the fields of simple-server are printable ASCII.
field() {
	local pattern='"'$1'":"(([^"\]|\\.)*)"' value
	[[ $entry =~ $pattern ]] || return
	value=${BASH_REMATCH[1]//\\\"/\"}
	printf '%s' "${value//\\\\/\\}"
}
