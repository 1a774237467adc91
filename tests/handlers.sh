#!/bin/sh
# SPDX-License-Identifier: MIT
#
# discard, chargen, daytime and time in the whole server, with the clients that people use, and beside
# xinetd.
#
# In a network of its own, where it can be had: there the ports that some clients insist on are free.
# shellcheck disable=SC2154,SC2034 # DAEMON_PID, PORT_name: set by start_server; server_env: for it
if [ -z "${HANDLERS_NETWORK-}" ]; then
	HANDLERS_NETWORK=shared
	map=
	[ "$(id -u)" = 0 ] || map=--map-root-user
	# shellcheck disable=SC2086 # nothing, or one word
	! unshare $map --net -- ip link set lo up 2>/dev/null || HANDLERS_NETWORK=own
	export HANDLERS_NETWORK
	# shellcheck disable=SC2086
	[ "$HANDLERS_NETWORK" = shared ] || exec unshare $map --net -- "$0" "$@"
fi
[ "$HANDLERS_NETWORK" = shared ] || ip link set lo up

# shellcheck source=tests/lib.sh
. "${top_srcdir:-.}/tests/lib.sh"
require nc socat ss
plan 46

TZ='CET-1CEST,M3.5.0,M10.5.0/3'
LC_ALL=C
export TZ LC_ALL
patience=20

has() {
	command -v "$1" >/dev/null
}

# A standard input that never ends and never has anything.
mkfifo "$work/silence"
exec 5<>"$work/silence"

# The log of connections has its limits: only those are logged that are looked for.
config <<'END'
sockets = (
  { name = "discard"; handler = "discard"; },
  { name = "chargen"; handler = "chargen"; log: { connections = false; }; },
  { name = "daytime"; handler = "daytime"; log: { connections = false; }; timeouts: { linger = 20.0; }; },
  { name = "time"; handler = "time"; log: { connections = false; }; timeouts: { linger = 20.0; }; },
  { name = "discard_local"; handler = "discard"; },
  { name = "chargen_local"; handler = "chargen"; log: { connections = false; }; }
);
END
if [ "$HANDLERS_NETWORK" = own ]; then
	set -- 9 19 13 37
else
	set -- 0 0 0 0
fi
server_env=TZ=$TZ
check 'it starts with all four' start_server --tcp "discard=127.0.0.1:$1" --tcp "chargen=127.0.0.1:$2" \
	--tcp "daytime=127.0.0.1:$3" --tcp "time=127.0.0.1:$4" \
	--unix "discard_local=$work/discard.socket" --unix "chargen_local=$work/chargen.socket" || exit
start_fds=$(fds "$DAEMON_PID")

# ask ADDRESS PORT: what a silent client is told.
ask() {
	timeout $patience nc -d "$1" "$2"
}

# ---- chargen

# The rule of RFC 864, three times round and then a little.
awk 'BEGIN {
	for (line = 0; line < 300; line++) {
		for (column = 0; column < 72; column++)
			printf "%c", 32 + (line + column) % 95
		printf "\r\n"
	}
}' >"$work/rfc864"
rfc_size=$((300 * 74))

# Beyond all buffers and all that one call sends.
head -c $((95 * 74)) "$work/rfc864" >"$work/period"
for _ in 1 2 3 4 5 6 7 8 9 10; do cat "$work/period"; done >"$work/periods"
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
	cat "$work/periods" "$work/periods"
done >"$work/long"
long_size=$((600 * 95 * 74))

# generates FILE SIZE COMMAND...: the first SIZE bytes that the command gets are those of FILE.
generates() {
	generates_file=$1
	generates_size=$2
	shift 2
	timeout $patience "$@" <&5 2>"$work/generates.err" | head -c "$generates_size" |
		cmp "$generates_file" -
}

# The client's end of sending comes with the first bytes, or at once.
half_closed() {
	printf %s "$1" | timeout $patience nc -N "$2" "$3" | head -c $long_size | cmp "$work/long" -
}

check 'chargen: the pattern of RFC 864' generates "$work/rfc864" $rfc_size nc -d 127.0.0.1 "$PORT_chargen"
check 'chargen: 4 MiB of it' generates "$work/long" $long_size nc -d 127.0.0.1 "$PORT_chargen"
check 'chargen, AF_UNIX' generates "$work/long" $long_size nc -d -U "$work/chargen.socket"
for piece in 1 73 997 7031; do
	check "chargen: pieces of $piece bytes over a small window" generates "$work/rfc864" $rfc_size \
		socat -u -b $piece "TCP4:127.0.0.1:$PORT_chargen,rcvbuf=2048" -
	check "chargen, AF_UNIX: pieces of $piece bytes" generates "$work/rfc864" $rfc_size \
		socat -u -b $piece "UNIX-CONNECT:$work/chargen.socket" -
done
check 'chargen goes on after a half-close' half_closed '' 127.0.0.1 "$PORT_chargen"
check 'chargen ignores what comes before it' half_closed 'junk' 127.0.0.1 "$PORT_chargen"
check 'chargen goes on after a half-close, AF_UNIX' half_closed 'junk' -U "$work/chargen.socket"

# Clients that never read: nc stops reading when nobody takes its output.
stuck=
stick() {
	mkfifo "$work/stuck"
	exec 4<>"$work/stuck"
	for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
		nc -d 127.0.0.1 "$PORT_chargen" >"$work/stuck" &
		stuck="$stuck $!"
	done
	wait_for $patience has_fds "$DAEMON_PID" $((start_fds + 20))
}

# A second in which no thread wakes up; the first ones still fill the buffers of the kernel.
asleep() {
	for _ in 1 2 3 4 5; do
		sleeps_before=$(sleeps "$DAEMON_PID")
		sleep 1 # this is the measurement
		sleeps_after=$(sleeps "$DAEMON_PID")
		[ "$sleeps_after" != "$sleeps_before" ] || return 0
		echo "woke up $((sleeps_after - sleeps_before)) times in a second"
	done
	return 1
}

check 'chargen: every connection of the past is closed' wait_for $patience has_fds "$DAEMON_PID" "$start_fds"
rss_before=$(rss_kib "$DAEMON_PID")
check 'chargen: twenty clients that never read' stick
if [ "$sanitized" = 1 ]; then
	skip 'chargen: cost of clients that never read' 'a sanitizer has its own threads and memory' 2
else
	check 'chargen: a server whose clients never read is asleep' asleep
	at_most 'chargen: KiB of memory for them' $(($(rss_kib "$DAEMON_PID") - rss_before)) 512
fi
check 'chargen: others are served meanwhile' generates "$work/long" $long_size nc -d 127.0.0.1 "$PORT_chargen"
# shellcheck disable=SC2086 # a list of numbers
kill $stuck
# shellcheck disable=SC2086
wait $stuck 2>/dev/null
exec 4>&-
check 'chargen: a full close ends it' wait_for $patience has_fds "$DAEMON_PID" "$start_fds"

# ---- discard

# discards NAME CLIENT...: 100 MiB, no answer, the end from the server, and the count in the log.
discards() {
	discards_name=$1
	shift
	head -c 104857600 /dev/zero | timeout $patience "$@" >"$work/answer" &&
		[ ! -s "$work/answer" ] &&
		wait_for $patience logged "$discards_name: .*peer-closed; 104857600 bytes in, 0 out"
}
check 'discard: 100 MiB are counted exactly' discards discard nc -N 127.0.0.1 "$PORT_discard"
check 'discard, AF_UNIX: 100 MiB are counted exactly' discards discard_local nc -N -U "$work/discard.socket"

unread() {
	ss -Htn "sport = :$1" | awk -v wanted="$2" '$2 >= wanted { found = 1 } END { exit !found }'
}

# Urgent data twice: once as it comes, and once all of it at once, for a server that was stopped.
# shellcheck disable=SC2016 # for perl
urgent='
	$s = IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => $ARGV[0]) or die;
	for (1 .. 5) {
		send($s, "a" x 1001, 0);
		send($s, "!", MSG_OOB);
	}
	send($s, "b" x 1002, 0);
	shutdown($s, 1);
	$n = sysread($s, $_, 1);
	exit !(defined $n && $n == 0);'
if has perl && perl -MIO::Socket::INET -e 1 2>/dev/null; then
	check 'discard: urgent data' timeout $patience perl -MIO::Socket::INET -e "$urgent" "$PORT_discard"
	kill -STOP "$DAEMON_PID"
	timeout $patience perl -MIO::Socket::INET -e "$urgent" "$PORT_discard" &
	urgent_pid=$!
	wait_for $patience unread "$PORT_discard" 6007
	kill -CONT "$DAEMON_PID"
	check 'discard: urgent data of a while ago' wait $urgent_pid
	# Of several marks that wait, the last one counts: the others are bytes of the stream.
	urgent_counted() {
		[ "$(grep -Ec ' discard: .*peer-closed; 60(0[7-9]|1[01]) bytes in, 0 out' "$DAEMON_LOG")" = 2 ]
	}
	check 'discard: the bytes around it are counted' wait_for $patience urgent_counted
else
	skip 'discard: urgent data' 'perl is missing' 3
fi

# ---- daytime and time

daytime_form='^[0-3][0-9] [A-Z]{3} 20[0-9]{2} [0-2][0-9]:[0-5][0-9]:[0-6][0-9] CES?T.?$'

# The seconds since 1970 that this prints are those of now. What a date has no zone for is UTC.
between() {
	between_first=$(date +%s)
	between_got=$("$@") || return
	between_last=$(date +%s)
	echo "$between_first <= $between_got <= $between_last"
	[ "$between_first" -le "$between_got" ] && [ "$between_got" -le "$between_last" ]
}

from_bytes() {
	ask 127.0.0.1 "$PORT_time" | od -An -v -tu1 |
		awk 'NF == 4 { print (($1 * 256 + $2) * 256 + $3) * 256 + $4 - 2208988800; n++ } END { exit n != 1 }'
}

from_date() {
	from_date_line=$(TZ=UTC timeout $patience "$@") && TZ=UTC date -d "$from_date_line" +%s
}

from_daytime() {
	ask 127.0.0.1 "$PORT_daytime" | tr -d '\r' >"$work/daytime" &&
		date -d "$(sed 's/ CES\{0,1\}T$//' "$work/daytime")" +%s
}

ask 127.0.0.1 "$PORT_daytime" >"$work/daytime"
like 'daytime: one line in the local time' "$work/daytime" "$daytime_form"
is 'daytime: with CR LF, and no more' "$(tail -c 2 "$work/daytime" | od -An -c | tr -d ' ') $(wc -l <"$work/daytime")" \
	'\r\n 1'
check 'daytime: it is now' between from_daytime
check 'time: four bytes, and it is now' between from_bytes

if has rdate; then
	check 'time: rdate understands it' between from_date rdate -p -o "$PORT_time" 127.0.0.1
else
	skip 'time: rdate' 'rdate is missing'
fi
if ! has busybox || ! busybox --list | grep -qx rdate; then
	skip 'time: busybox rdate' 'busybox is missing'
elif [ "$HANDLERS_NETWORK" != own ]; then
	skip 'time: busybox rdate' 'it insists on port 37, and no network of our own can be had'
else
	check 'time: busybox rdate understands it' between from_date busybox rdate -p 127.0.0.1
fi

# A person at a terminal.
telnets() {
	timeout $patience "$@" 127.0.0.1 "$PORT_daytime" <&5 >"$work/telnet" 2>&1
	tr -d '\r' <"$work/telnet" | grep -E "$daytime_form"
}
telnets_chargen() {
	rm -f "$work/screen"
	mkfifo "$work/screen"
	"$@" 127.0.0.1 "$PORT_chargen" <&5 >"$work/screen" 2>&1 &
	telnet_pid=$!
	timeout $patience head -n 200 "$work/screen" | tr -d '\r' >"$work/telnet"
	kill $telnet_pid # some go on without a screen
	wait $telnet_pid 2>/dev/null
	tr -d '\r' <"$work/rfc864" | sed -n 2,96p >"$work/lines"
	sed -n '/^!"#.*gh$/,$p' "$work/telnet" | head -n 95 | cmp "$work/lines" -
}
for program in telnet 'busybox telnet'; do
	if has "${program%% *}" && { [ "$program" = telnet ] || busybox --list | grep -qx telnet; }; then
		# shellcheck disable=SC2086 # one word or two
		check "daytime: $program" telnets $program
		# shellcheck disable=SC2086
		check "chargen: $program" telnets_chargen $program
	else
		skip "$program" "$program is missing" 2
	fi
done

# Half of 64 KiB is unread when the server answers and is done, and half comes later: after a plain close()
# either would make a reset, which can destroy the answer.
junk() {
	head -c 32768 /dev/urandom
	wait_for $patience test -s "$work/answer"
	head -c 32768 /dev/urandom
}

# answers_junk PORT: the answer is in $work/answer.
answers_junk() {
	rm -f "$work/answer"
	kill -STOP "$DAEMON_PID"
	junk | timeout $patience socat -t $patience - "TCP4:127.0.0.1:$1" >"$work/answer" 2>"$work/junk.err" &
	junk_pid=$!
	wait_for $patience unread "$1" 32768 || echo "the junk does not come"
	kill -CONT "$DAEMON_PID"
	wait $junk_pid || return
	cat "$work/junk.err"
	[ ! -s "$work/junk.err" ]
}
check 'daytime: 64 KiB of junk, and no reset' answers_junk "$PORT_daytime"
like 'daytime: the answer' "$work/answer" "$daytime_form"
check 'time: 64 KiB of junk, and no reset' answers_junk "$PORT_time"
is 'time: the answer' "$(wc -c <"$work/answer")" 4

# ---- beside xinetd

xinetd_config() {
	printf 'defaults\n{\n\tinstances = UNLIMITED\n\tcps = 1000 1\n\tbind = 127.0.0.2\n}\n'
	while read -r xinetd_name xinetd_port; do
		printf 'service %s\n{\n' "$xinetd_name"
		printf '\t%s\n' 'type = INTERNAL UNLISTED' "id = $xinetd_name" "port = $xinetd_port" \
			'socket_type = stream' 'protocol = tcp' 'wait = no' "user = $(id -un)"
		echo '}'
	done <<-END
		discard 9
		chargen 19
		daytime 13
		time 37
	END
}

# same_answer SERVICE PORT: both were asked in one second, at least once in ten times.
same_answer() {
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		ask 127.0.0.1 "$2" >"$work/ours.$1"
		ask 127.0.0.2 "$2" >"$work/xinetd.$1"
		! cmp "$work/ours.$1" "$work/xinetd.$1" || return 0
	done
	return 1
}

# Its ring has neither the blank nor the tilde; otherwise its first line is our second.
same_lines() {
	for address in 127.0.0.1 127.0.0.2; do
		ask "$address" 19 | head -n 20 >"$work/$address.lines"
	done
	sed -n 2,20p "$work/127.0.0.1.lines" >"$work/ours.lines"
	head -n 19 "$work/127.0.0.2.lines" | cmp - "$work/ours.lines"
}

same_silence() {
	echo something | timeout $patience nc -N 127.0.0.2 9 >"$work/xinetd.silence"
	echo something | timeout $patience nc -N 127.0.0.1 9 | cmp - "$work/xinetd.silence"
}

xinetd_listens() {
	nc -z 127.0.0.2 37
}

xinetd=$(PATH=$PATH:/usr/sbin:/sbin command -v xinetd)
if [ -z "$xinetd" ]; then
	skip 'beside xinetd' 'xinetd is missing' 4
elif [ "$HANDLERS_NETWORK" != own ]; then
	skip 'beside xinetd' 'no network of our own can be had' 4
else
	xinetd_config >"$work/xinetd.conf"
	"$xinetd" -dontfork -f "$work/xinetd.conf" -filelog "$work/xinetd.log" >"$work/xinetd.out" 2>&1 &
	xinetd_pid=$!
	if wait_for $patience xinetd_listens; then
		check 'daytime: the same bytes as of xinetd' same_answer daytime 13
		check 'time: the same bytes as of xinetd' same_answer time 37
		# xinetd forks for chargen, and its child needs the groups of a real root.
		if [ "$(awk '{ print $3 }' /proc/self/uid_map)" = 4294967295 ]; then
			check 'chargen: the same lines as of xinetd' wait_for $patience same_lines
		else
			skip 'chargen: the same lines as of xinetd' 'no real root'
		fi
		check 'discard: the same silence as of xinetd' wait_for $patience same_silence
	else
		diag "$(cat "$work/xinetd.log" "$work/xinetd.out")"
		skip 'beside xinetd' 'xinetd does not run here' 4
	fi
	kill $xinetd_pid
	wait $xinetd_pid 2>/dev/null
fi

check 'all descriptors are closed afterwards' wait_for $patience has_fds "$DAEMON_PID" "$start_fds"
stop_and_check 'it ends with 0'
