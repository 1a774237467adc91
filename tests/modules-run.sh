#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The modules of examples/, which people copy, in the whole server: what they answer, and what becomes of
# it when there are many clients, many workers, and clients that do not behave.
#
# As root in a network of its own, with a name server that never answers: so a name can be asked for that
# takes as long as the resolver is patient.
# shellcheck disable=SC2154 # DAEMON_PID, TARGET_name: set by start_server
if [ -z "${MODULES_NETWORK-}" ]; then
	MODULES_NETWORK=shared
	[ "$(id -u)" != 0 ] || ! unshare --net --mount -- ip link set lo up 2>/dev/null || MODULES_NETWORK=own
	export MODULES_NETWORK
	[ "$MODULES_NETWORK" = shared ] || exec unshare --net --mount -- "$0" "$@"
fi
[ "$MODULES_NETWORK" = shared ] || ip link set lo up

# shellcheck source=tests/lib.sh
. "${top_srcdir:-.}/tests/lib.sh"
require socat
plan 58

patience=30
modules=$work/modules
mkdir "$modules" && chmod 755 "$work" "$modules" &&
	cp "$top_builddir/examples/"*.so "$modules" && chmod 755 "$modules"/* || exit 99
allow_root="$allow_root --allow-own-modules"

# The resolver of a machine is configured once and read by each process that starts.
if [ "$MODULES_NETWORK" = own ]; then
	echo 'nameserver 127.0.0.1
options timeout:2 attempts:1' >"$work/resolv.conf"
	mount --bind "$work/resolv.conf" "$(readlink -f /etc/resolv.conf)" 2>"$work/mount.err" ||
		MODULES_NETWORK=shared
fi
dns_pid=
if [ "$MODULES_NETWORK" = own ]; then
	# What it was asked is in a file, so that one sees a job begin.
	socat -u UDP4-RECV:53,bind=127.0.0.1 CREATE:"$work/asked" &
	dns_pid=$!
fi
end_dns() {
	[ -z "$dns_pid" ] || kill "$dns_pid" 2>/dev/null
	cleanup
}
trap end_dns EXIT

config <<END
workers = 4;
pool_threads = 40;
callback_budget = 5.0;
sockets = (
  { name = "lines"; handler = "module"; module = "$modules/lines.so"; },
  { name = "kv"; handler = "module"; module = "$modules/kv.so"; timeouts: { linger = 20.0; };
    settings: { max_key = 20; max_value = 20000; }; },
  { name = "small"; handler = "module"; module = "$modules/kv.so"; settings: { max_total = 4096; }; },
  { name = "resolve"; handler = "module"; module = "$modules/resolve.so"; timeouts: { linger = 20.0; }; },
  { name = "hasty"; handler = "module"; module = "$modules/resolve.so"; settings: { timeout = 0.2; }; }
);
END
sockets='--tcp lines=127.0.0.1:0 --tcp kv=127.0.0.1:0 --tcp small=127.0.0.1:0'
sockets="$sockets --tcp resolve=127.0.0.1:0 --tcp hasty=127.0.0.1:0"
# shellcheck disable=SC2086 # a list of words
check 'the examples pass --check' "$server" --config "$conf" $allow_root --check
# shellcheck disable=SC2086
check 'they start' start_server $sockets || exit
start_fds=$(fds "$DAEMON_PID")

# talk TARGET: sends standard input, then the end, and prints what comes back.
talk() {
	timeout $patience socat -t $patience - "TCP4:$1"
}

# says NAME TARGET REQUESTS ANSWERS: both with \n.
says() {
	# shellcheck disable=SC2059 # it is a format
	is "$1" "$(printf "$3" | talk "$2")" "$(printf "$4")"
}

# hold TARGET FILE [OPTION]: a connection that stays open until close_held; standard input of it is 5.
hold() {
	rm -f "$work/held.in"
	mkfifo "$work/held.in"
	exec 5<>"$work/held.in"
	timeout $patience socat -t $patience - "TCP4:$1${3-}" <"$work/held.in" >"$2" 5>&- &
	held_pid=$!
}
close_held() {
	exec 5>&-
	wait $held_pid
}
answered() {
	[ "$(wc -l <"$1")" -ge "$2" ]
}

# many N COMMAND...: runs it N times at once, with the number as its last argument; all have to succeed.
many() {
	many_left=$1
	shift
	many_pids=
	while [ "$many_left" -gt 0 ]; do
		"$@" "$many_left" &
		many_pids="$many_pids $!"
		many_left=$((many_left - 1))
	done
	many_failed=0
	for pid in $many_pids; do
		wait "$pid" || many_failed=$((many_failed + 1))
	done
	[ "$many_failed" = 0 ] || echo "$many_failed failed"
	[ "$many_failed" = 0 ]
}

# ---- lines

says 'lines: upper case' "$TARGET_lines" 'hello, World 1\n' 'HELLO, WORLD 1\n'
says 'lines: several at once, CR LF, an empty one' "$TARGET_lines" 'a\r\n\nb\n' 'A\n\nB\n'
says 'lines: what has no end is no line' "$TARGET_lines" 'a\nb' 'A\n'
longest=$(printf '%01024d' 0)
says 'lines: the longest' "$TARGET_lines" "$longest\\r\\n" "$longest\\n"
says 'lines: one byte more ends the connection' "$TARGET_lines" "a\\n0$longest\\nb\\n" 'A\nLINE TOO LONG\n'
says 'lines: even without an end' "$TARGET_lines" "00$longest" 'LINE TOO LONG\n'

# shouts N: 3000 lines in one go, thus in pieces that end anywhere.
shouts() {
	awk -v n="$1" 'BEGIN { for (i = 0; i < 3000; i++) print "line " i " of client " n }' >"$work/said.$1"
	tr '[:lower:]' '[:upper:]' <"$work/said.$1" >"$work/wanted.$1"
	talk "$TARGET_lines" <"$work/said.$1" >"$work/heard.$1"
	cmp "$work/wanted.$1" "$work/heard.$1"
}
check 'lines: 30 clients with 3000 lines each' many 30 shouts

# ---- kv

says 'kv: there is nothing at first' "$TARGET_kv" 'GET a\nDEL a\n' 'NONE\nNONE\n'
says 'kv: SET, GET, DEL' "$TARGET_kv" 'SET a one\nGET a\nSET a two\nGET a\nDEL a\nGET a\n' \
	'OK\nVALUE one\nOK\nVALUE two\nOK\nNONE\n'
says 'kv: a value with blanks, an empty one' "$TARGET_kv" 'SET b  x y \nGET b\nSET c \nGET c\n' \
	'OK\nVALUE  x y \nOK\nVALUE \n'
says 'kv: QUIT' "$TARGET_kv" 'GET a\nQUIT\nGET b\n' 'NONE\nBYE\n'
commands='ERROR no such command; there are GET, SET, DEL and QUIT'
words='ERROR wrong number of words'
says 'kv: what is no command' "$TARGET_kv" 'get a\n\nGETA\n' "$commands\\n$commands\\n$commands\\n"
says 'kv: too few words, too many' "$TARGET_kv" 'GET\nGET a b\nSET\nQUIT a\nGET  a\n' \
	"$words\\n$words\\n$words\\n$words\\n$words\\n"
says 'kv: a key of 20 bytes, one of 21' "$TARGET_kv" \
	"SET 12345678901234567890 x\\nSET 123456789012345678901 x\\nGET 12345678901234567890\\n" \
	'OK\nERROR the key is too long\nVALUE x\n'
value=$(printf '%020000d' 0)
says 'kv: the longest value, one that is longer' "$TARGET_kv" "SET v $value\\nGET v\\nSET v 0$value\\n" \
	"OK\\nVALUE $value\\nERROR the value is too long\\n"
says 'kv: a line that nothing can be' "$TARGET_kv" "GET b\\nSET 12345678901234567890 ${value}00\\nGET b\\n" \
	'VALUE  x y \nERROR the line is too long\n'
says 'kv: a service has its own store' "$TARGET_small" 'GET b\n' 'NONE\n'

hold "$TARGET_kv" "$work/answer"
echo 'SET here first' >&5
check 'kv: SET from one connection' wait_for $patience answered "$work/answer" 1
says 'kv: is seen by another, and changed' "$TARGET_kv" 'GET here\nSET here second\n' 'VALUE first\nOK\n'
echo 'GET here' >&5
check 'kv: which the first one sees' wait_for $patience answered "$work/answer" 2
close_held
is 'kv: as it was changed' "$(tail -n 1 "$work/answer")" 'VALUE second'

# clerk N: keys of its own, and answers in the order of the requests.
clerk() {
	awk -v n="$1" 'BEGIN {
		for (i = 0; i < 500; i++)
			print "SET " n "." i " value " i "\nGET " n "." i "\nDEL " n "." i - 1
	}' >"$work/said.$1"
	awk -v n="$1" 'BEGIN {
		for (i = 0; i < 500; i++)
			print "OK\nVALUE value " i "\n" (i ? "OK" : "NONE")
	}' >"$work/wanted.$1"
	talk "$TARGET_kv" <"$work/said.$1" >"$work/heard.$1"
	cmp "$work/wanted.$1" "$work/heard.$1"
}
check 'kv: 40 clients with 1500 requests each' many 40 clerk
for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
	printf 'GET %d.499\nGET %d.498\n' $n $n
done | talk "$TARGET_kv" | sort | uniq -c >"$work/answer"
is 'kv: what they left is there for all' "$(sed 's/^ *//' "$work/answer")" '20 NONE
20 VALUE value 499'

# Two write one key over and over, others read it: a value is always that of one of them.
writer() {
	awk -v n="$1" 'BEGIN {
		for (i = 0; i < 13; i++) value = i ? value value : (n == 1 ? "a" : "b")
		for (i = 0; i < 300; i++) print "SET torn " value
	}' | talk "$TARGET_kv" | sort | uniq -c >"$work/writer.$1"
	[ "$(sed 's/^ *//' "$work/writer.$1")" = '300 OK' ]
}
reader() {
	awk 'BEGIN { for (i = 0; i < 300; i++) print "GET torn" }' | talk "$TARGET_kv" |
		grep -Evc '^(NONE|VALUE (a{4096}|b{4096}))$' >"$work/reader.$1"
	[ "$(cat "$work/reader.$1")" = 0 ]
}
writer_or_reader() {
	if [ "$1" -le 2 ]; then writer "$1"; else reader "$1"; fi
}
check 'kv: no value is torn' many 8 writer_or_reader

# An answer of 20 000 bytes to each of many requests of a client that does not read: it is not served on.
stubborn() {
	hold "$TARGET_kv" "$work/answer"
	kill -STOP $held_pid
	awk -v value="$value" 'BEGIN { print "SET v " value; for (i = 0; i < 1000; i++) print "GET v" }' >&5 &
	stubborn_pid=$!
	says_others
	stubborn_status=$?
	kill -CONT $held_pid
	wait $stubborn_pid
	wait_for $patience answered "$work/answer" 1001
	close_held
	[ "$stubborn_status" = 0 ] && [ "$(sort "$work/answer" | uniq -c | sed 's/^ *//')" = "1 OK
1000 VALUE $value" ]
}
says_others() {
	[ "$(echo 'GET b' | talk "$TARGET_kv")" = 'VALUE  x y ' ]
}
check 'kv: a client that reads late gets all, and others do not wait' stubborn

# max_total is 4096, and an item costs its bytes and 128.
kilo=$(printf '%01000d' 0)
says 'kv: the store is full' "$TARGET_small" "SET a $kilo\\nSET b $kilo\\nSET c $kilo\\nSET d $kilo\\nGET d\\n" \
	'OK\nOK\nOK\nERROR the store is full\nNONE\n'
says 'kv: what is there can be replaced' "$TARGET_small" "SET a 1$kilo\\nSET b 2\\nSET d $kilo\\n" 'OK\nOK\nOK\n'
says 'kv: but not by what has no room' "$TARGET_small" "SET b $kilo\\nGET b\\n" \
	'ERROR the store is full\nVALUE 2\n'
says 'kv: and removed' "$TARGET_small" 'DEL a\nDEL b\nDEL c\nDEL d\nSET e 1\nDEL e\n' 'OK\nOK\nOK\nOK\nOK\nOK\n'
says 'kv: then there is room for all again' "$TARGET_small" "SET x $kilo\\nSET y $kilo\\nSET z $kilo\\nSET w $kilo\\n" \
	'OK\nOK\nOK\nERROR the store is full\n'
check 'kv: counters in the status' wait_for 15 notified \
	'^STATUS=.*; small: keys 3, hits 1, misses 2, stored 10, deleted 5, refused 3[;]'

# ---- resolve

says 'resolve: a name' "$TARGET_resolve" '127.0.0.2\n' 'OK 127.0.0.2\n'
says 'resolve: of IPv6' "$TARGET_resolve" '::1\n' 'OK ::1\n'
echo localhost | talk "$TARGET_resolve" >"$work/answer"
like 'resolve: localhost' "$work/answer" '^OK (.* )?(127\.0\.0\.1|::1)( |$)'
says 'resolve: no name' "$TARGET_resolve" '\n' 'ERROR no name\n'
says 'resolve: what cannot be one' "$TARGET_resolve" '..\n' 'ERROR Name or service not known\n'
name=$(printf '%0254d' 0)
says 'resolve: a name that is too long' "$TARGET_resolve" "127.0.0.1\\n$name\\n127.0.0.1\\n" \
	'OK 127.0.0.1\nERROR the name is too long\n'
# asker N: numbers, so that the order can be seen.
asker() {
	awk -v n="$1" 'BEGIN { for (i = 0; i < 100; i++) print "127." n ".0." i }' >"$work/said.$1"
	sed 's/^/OK /' "$work/said.$1" >"$work/wanted.$1"
	talk "$TARGET_resolve" <"$work/said.$1" >"$work/heard.$1"
	cmp "$work/wanted.$1" "$work/heard.$1"
}
check 'resolve: 30 clients with 100 names each, in order' many 30 asker

asked() {
	grep -aq "$1" "$work/asked"
}
unable='ERROR Temporary failure in name resolution'

# forsaken N: asks and resets the connection as soon as its job has begun.
forsaken() {
	rm -f "$work/silence.$1"
	mkfifo "$work/silence.$1"
	{
		echo "forsaken$1.test"
		exec sleep $patience
	} >"$work/silence.$1" &
	forsaken_feeder=$!
	socat - "TCP4:$TARGET_resolve,linger=0" <"$work/silence.$1" >/dev/null 2>&1 &
	forsaken_pid=$!
	wait_for $patience asked "forsaken$1"
	forsaken_status=$?
	kill $forsaken_pid $forsaken_feeder
	wait
	return $forsaken_status
}

if [ "$MODULES_NETWORK" = own ]; then
	hold "$TARGET_resolve" "$work/answer"
	printf '%s\n' slow1.test 127.0.0.1 >&5
	check 'resolve: a name that takes long' wait_for $patience asked slow1
	says 'resolve: others do not wait' "$TARGET_resolve" '127.0.0.1\n' 'OK 127.0.0.1\n'
	says 'resolve: nor do other services' "$TARGET_kv" 'GET b\n' 'VALUE  x y \n'
	is 'resolve: there is no answer yet' "$(cat "$work/answer")" ''
	close_held
	is 'resolve: then both come, in order' "$(cat "$work/answer")" "$unable
OK 127.0.0.1"
	says 'resolve: a time-out' "$TARGET_hasty" 'slow2.test\n127.0.0.1\n' 'ERROR timed out\n'
	check 'resolve: 20 clients go away while their jobs run' many 20 forsaken
	says 'resolve: the others go on' "$TARGET_resolve" '127.0.0.1\n' 'OK 127.0.0.1\n'
	check 'resolve: counters in the status' wait_for 15 notified \
		'^STATUS=.*; hasty: found 0, failed 0, timed_out 1$'
	like 'resolve: the pool in the status' "$NOTIFY_LOG" '^STATUS=.*; pool: [0-9]+ of 40 threads at work'
else
	skip 'resolve: names that take long' 'no network of our own can be had' 10
fi

# ---- the end

check 'every connection is closed, and what its job had open' wait_for $patience has_fds "$DAEMON_PID" "$start_fds"
if [ "$MODULES_NETWORK" = own ]; then
	hold "$TARGET_resolve" "$work/answer"
	echo slow3.test >&5
	check 'a job is under way' wait_for $patience asked slow3
	exec 5>&-
	stop_and_check 'it ends with 0 all the same'
	wait $held_pid
	is 'and the answer comes before that' "$(cat "$work/answer")" "$unable"
else
	skip 'a job is under way at the end' 'no network of our own can be had' 2
	stop_and_check 'it ends with 0'
fi
unlike 'nobody broke a rule' "$DAEMON_LOG" 'broke a rule'
unlike 'nobody stayed too long' "$DAEMON_LOG" 'waited; what blocks'

# ---- as somebody else

# A module that belongs to who starts the server.
own=$work/own
mkdir "$own" && cp "$modules/lines.so" "$own" && chmod 755 "$own"
sed "s|$modules/[a-z]*.so|$own/lines.so|; s|settings: {[^}]*};||" "$conf" >"$own/conf"
as_user=
if [ "$(id -u)" = 0 ]; then
	chown -R 65534:65534 "$own"
	as_user='setpriv --reuid=65534 --regid=65534 --clear-groups'
fi
if [ -n "$as_user" ] && ! $as_user test -x "$server"; then
	skip 'a module of one own' 'nobody can reach the server' 2
else
	$as_user "$server" --config "$own/conf" --check >"$work/out" 2>&1
	like 'a module of a user is refused' "$work/out" 'belongs to the user [0-9]*.*--allow-own-modules'
	# shellcheck disable=SC2086
	check 'unless it is allowed, and the user is the same' \
		$as_user "$server" --config "$own/conf" --check --allow-own-modules
fi
