# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Clients. Those of bash itself (/dev/tcp) are quick and tell FIN, RST and "refused" apart; an
# ordinary one, socat or nc, is used where somebody would really use it, and for AF_UNIX.

readonly PORT=7777
readonly PATIENCE=10 # seconds after which an answer is taken as missing

peer=9 # not open: bash gives numbers from 10 on

# connect [HOST [PORT]]: the new connection is $peer; 1 when refused.
connect() {
	{ exec {peer}<>"/dev/tcp/${1:-127.0.0.1}/${2:-$PORT}"; } 2>/dev/null
}

hang_up() {
	exec {peer}>&-
}

# echoes BYTES: says BYTES on $peer and gets them back.
echoes() {
	local answer=
	{
		printf '%s' "$1" >&"$peer"
		LC_ALL=C IFS='' read -r -N ${#1} -t "$PATIENCE" answer <&"$peer"
	} 2>/dev/null
	[ "$answer" = "$1" ]
}

# serves [HOST [PORT]]: a new connection, one echo.
serves() {
	connect "$@" || return
	echoes "bytes of $RANDOM and $RANDOM"
	local result=$?
	hang_up
	return $result
}

# ends_with_fin FD: the server finishes, and does not reset, this connection.
ends_with_fin() {
	timeout $PATIENCE cat <&"$1" >/dev/null 2>/run/check/rst
}

# ordinary_client tcp PORT | unix PATH: what is read is sent, what comes back is written.
ordinary_client() {
	case $client-$1 in
	socat-tcp) socat -t $PATIENCE - "TCP4:127.0.0.1:$2" ;;
	socat-unix) socat -t $PATIENCE - "UNIX-CONNECT:$2" ;;
	nc.openbsd-tcp) nc.openbsd -N -w $PATIENCE 127.0.0.1 "$2" ;;
	nc.openbsd-unix) nc.openbsd -N -w $PATIENCE -U "$2" ;;
	esac
}

find_ordinary_client() {
	for client in socat nc.openbsd ''; do
		[ -z "$client" ] || [ -z "$(command -v "$client")" ] || return
	done
}

# knock: connects, echoes one byte, ends, again and again until the file /run/check/knock is gone;
# then writes how many were served, refused, and neither.
knock() {
	local served=0 refused=0 lost=0
	while [ -e /run/check/knock ]; do
		if ! connect; then
			refused=$((refused + 1))
			continue
		fi
		if echoes k; then
			served=$((served + 1))
		else
			lost=$((lost + 1))
		fi
		hang_up
	done
	echo "$served $refused $lost" >/run/check/knocked
}

start_knocking() {
	: >/run/check/knock
	knock &
	knocker=$!
}

# The counts are then $served, $refused and $lost.
stop_knocking() {
	rm /run/check/knock
	wait "$knocker"
	read -r served refused lost </run/check/knocked
	note "$served served, $refused refused, $lost cut off"
}
