# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# TAP, in the words that Test::More made common.

case=
tests=0
failures=0
failures_before=0

ok() { # ok TEXT COMMAND...: COMMAND succeeds
	local text=$1
	shift
	tests=$((tests + 1))
	if "$@"; then
		echo "ok $tests - $case: $text"
		return
	fi
	failures=$((failures + 1))
	echo "not ok $tests - $case: $text"
	echo "#   failed: $*"
}

same() {
	[[ $1 == "$2" ]]
}

resembles() {
	[[ $1 =~ $2 ]]
}

is() { # is GOT WANTED TEXT
	ok "$3" same "$1" "$2"
}

like() { # like GOT REGEX TEXT
	ok "$3" resembles "$1" "$2"
}

not() {
	! "$@"
}

skip() { # skip TEXT REASON
	tests=$((tests + 1))
	echo "ok $tests - $case: $1 # SKIP $2"
}

# Comments; without an argument, what is read.
note() {
	if [ $# -gt 0 ]; then
		echo "# $*"
	else
		sed 's/^/# /'
	fi
}

begin_case() {
	note "--- $1"
	SECONDS=0
	failures_before=$failures
	mark "$1"
	case_cursor=$cursor
}

# Back to the installed state; where something failed, what the journal has about it.
end_case() {
	if [ "$failures" != "$failures_before" ]; then
		systemctl status --no-pager --lines=0 'simple-server.*' 2>&1 | note
		cursor=$case_cursor
		journal_since -o short-precise | tail -n 40 | note
	fi
	restore
	note "$case took $SECONDS s"
}

finish() {
	echo "1..$tests"
	note "$failures of $tests failed"
	[ "$failures" = 0 ]
}
