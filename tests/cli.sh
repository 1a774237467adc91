#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The command line: what each switch prints and where, exit statuses, wrong files.
# shellcheck disable=SC2154 # DAEMON_PID, PORT_name, TARGET_name: set by start_server
# shellcheck source=tests/lib.sh
. "${top_srcdir:-.}/tests/lib.sh"
plan 46

# run ARGUMENT...: sets status; output in $work/out and $work/err.
run() {
	timeout 10 "$server" "$@" >"$work/out" 2>"$work/err" </dev/null
	status=$?
}

# prints NAME STATUS OUT-REGEX ERR-REGEX ARGUMENT...: an empty regex: nothing is printed there.
prints() {
	prints_name=$1
	prints_wanted="$2 $3 $4"
	wanted_status=$2
	wanted_out=$3
	wanted_err=$4
	shift 4
	run "$@"
	if [ "$status" = "$wanted_status" ] && matches "$work/out" "$wanted_out" &&
		matches "$work/err" "$wanted_err"; then
		ok "$prints_name"
	else
		not_ok "$prints_name" "wanted: $prints_wanted" "status $status" "stdout:" \
			"$(head -n 5 "$work/out")" "stderr:" "$(head -n 5 "$work/err")"
	fi
}

matches() {
	if [ -n "$2" ]; then grep -Eq -e "$2" "$1"; else [ ! -s "$1" ]; fi
}

: >"$DAEMON_LOG"
echo_config echo

# ---- what it tells about itself

prints '--help' 0 '--check' '' --help
for option in config dump list-options version ignore-unknown-sockets allow-root; do
	like "--help names --$option" "$work/out" "--$option"
done
prints '--version' 0 '^simple-server [0-9]+\.[0-9]+' '' --version
prints '--list-options' 0 'so_keepalive' '' --list-options
for key in workers drain_timeout name handler linger connections tcp_nodelay; do
	like "--list-options has $key" "$work/out" "\\b$key\\b"
done

# ---- usage errors

prints 'an unknown switch' 64 '' 'usage|--help' --nonsense
prints 'an argument too many' 64 '' 'usage|--help' argument
prints '--config without a file' 64 '' 'usage|--help' --config
prints 'two that exclude each other' 64 '' '.' --check --dump

# ---- --check

prints '--check, a good file' 0 "^$conf: no errors\$" '' --config "$conf" --check
config <<'END'
worker = 2;
drain_timeout = "long";
sockets = (
  { name = "echo"; handler = "ecko"; options: { tcp_nodelai = true; tcp_keepidle = 0; }; }
);
END
prints '--check, a bad file' 78 '' "^$conf:1: .*workers" --config "$conf" --check
like 'all errors at once: wrong type' "$work/err" "^$conf:2: .*drain_timeout"
like 'all errors at once: unknown handler' "$work/err" "^$conf:4: .*ecko.*echo"
like 'all errors at once: unknown option' "$work/err" "^$conf:4: .*tcp_nodelai.*tcp_nodelay"
like 'all errors at once: out of range' "$work/err" "^$conf:4: .*tcp_keepidle.*1"
# shellcheck disable=SC2086 # nothing, or one word
prints 'the same file does not start' 78 '' "^.*$conf:2: " --config "$conf" $allow_root
printf 'sockets = (\n  { name = "echo"\n    handler = }\n);\n' >"$conf"
prints 'a syntax error' 78 '' "$conf:[23]: " --config "$conf" --check
prints 'a missing file' 78 '' "$work/none: .*[Nn]o such file" --config "$work/none" --check
prints 'a directory' 78 '' "$work: " --config "$work" --check
mkfifo "$work/fifo.conf"
prints 'a FIFO does not block' 78 '' "$work/fifo.conf: " --config "$work/fifo.conf" --check
prints '/dev/zero' 78 '' '/dev/zero: ' --config /dev/zero --check
: >"$work/empty.conf"
prints 'an empty file' 78 '' "$work/empty.conf" --config "$work/empty.conf" --check
prints 'the shipped file' 0 'no errors' '' --config "$top_srcdir/etc/simple-server.conf" --check

# ---- with sockets passed

echo_config echo
server_args=--check
check '--check with the right socket' refusal 0 --tcp echo=127.0.0.1:0
refuses '--check with a socket that has no section' 'other' --tcp echo=127.0.0.1:0 --tcp other=127.0.0.1:0
server_args=--dump
config <<'END'
sockets = ( { name = "echo"; handler = "echo"; options: { so_keepalive = true; tcp_keepidle = 77; }; } );
END
check '--dump with a socket' refusal 0 --tcp echo=127.0.0.1:0
like '--dump has the values of the file' "$DAEMON_LOG" 'tcp_keepidle = 77'
like '--dump has the address of the socket' "$DAEMON_LOG" '127\.0\.0\.1:[0-9]+'
prints '--dump without a socket' 0 'tcp_keepidle = 77' '' --config "$conf" --dump

# Without its comments, which say where a value is from.
"$server" --config "$conf" --dump | sed 's/ *#.*//' >"$work/dumped.conf"
prints 'what --dump prints is a file without errors' 0 'no errors' '' --config "$work/dumped.conf" --check
"$server" --config "$work/dumped.conf" --dump | sed 's/ *#.*//' >"$work/again.conf"
check 'and means the same' cmp "$work/dumped.conf" "$work/again.conf"

for switch in --help --dump --list-options; do
	"$server" --config "$conf" "$switch" >/dev/full 2>"$work/err"
	is "$switch into a full device is no success" $? 70
done

# ---- root

if [ -n "$allow_root" ]; then
	server_args=
	refuses 'root is refused, and --allow-root is named' '--allow-root' --tcp echo=127.0.0.1:0
else
	skip 'root is refused' 'not root'
fi
