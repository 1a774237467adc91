#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Rules of the sources that a look at the text can hold. A check whose tool is missing is skipped.
set -u
cd "${top_srcdir:-$(dirname "$0")/..}" || exit 99

# By name rather than from git: a tarball is held to the same rules.
sources=$(find src tests etc examples systemd man m4 template tools .ci bootstrap.sh configure.ac \
	Makefile.am .clang-format -type f \( \
	-name '*.[ch]' -o -name '*.sh' -o -name '*.py' -o -name '*.m4' -o -name '*.ac' -o -name '*.am' -o \
	-name '*.conf' -o -name '*.socket' -o -name '*.in' -o -name '*.catalog' -o -name '*.[0-9]' -o \
	-path .ci/run \) ! -path template/module.c | sort) # which is no C before it has a name
matching() {
	printf '%s\n' "$sources" | grep -E -e "$1"
}

count=0
# result DESCRIPTION FINDINGS: passes when there are no findings.
result() {
	count=$((count + 1))
	if [ -z "$2" ]; then
		echo "ok $count - $1"
	else
		echo "not ok $count - $1"
		printf '%s\n' "$2" | sed 's/^/# /'
	fi
}

skip() {
	count=$((count + 1))
	echo "ok $count - $1 # SKIP $2"
}

# Version 14 alone: others lay out differently.
clang_format() {
	for tool in clang-format-14 clang-format; do
		"$tool" --version 2>/dev/null | grep -q 'version 14\.' && echo "$tool" && return
	done
}

echo 1..6

result 'each source file names its licence in its first lines' "$(
	for file in $sources; do
		head -n 3 "$file" | grep -q 'SPDX-License-Identifier: MIT' || echo "$file"
	done
)"

# signalfd alone: a handler could interrupt any line of any thread. But after a crash nobody reads it.
result 'no signal handlers but for the crash' "$(
	for file in $(matching '^src/' | grep -v '^src/crash\.c$'); do
		grep -nHE '\b(sigaction|signal|sigset)[[:space:]]*\(' "$file" | grep -vE 'SIG_(IGN|DFL)'
	done
)"

# shellcheck disable=SC2046 # lists of names without blanks, here and below
result 'no trailing blanks' "$(grep -nE '[[:blank:]]+$' $(matching '\.([chsm0-9]|sh|m4|ac|am|conf|in|socket)$'))"

layout='the layout is that of .clang-format'
formatter=$(clang_format)
if [ -n "$formatter" ]; then
	# shellcheck disable=SC2046
	result "$layout" "$("$formatter" --dry-run $(matching '\.[ch]$') 2>&1 |
		sed -n 's/:.*-Wclang-format-violations.*/ needs "make format"/p' | sort -u)"
else
	skip "$layout" 'clang-format 14 is not installed'
fi

if command -v shellcheck >/dev/null; then
	# SC2317 takes a function that a variable names or a trap calls for unreachable; SC1091 is about
	# sourced files, which are checked by themselves.
	# shellcheck disable=SC2046
	result 'shellcheck finds nothing' "$(shellcheck -f gcc -e SC1091,SC2317 $(matching '\.sh$|^\.ci/run$|^tools/'))"
else
	skip 'shellcheck finds nothing' 'shellcheck is not installed'
fi

if command -v mandoc >/dev/null; then
	# Which other pages mandoc knows is a matter of the machine, not of the page.
	# shellcheck disable=SC2046
	result 'mandoc finds nothing' "$(mandoc -Tlint -Wstyle $(matching '^man/.*\.[0-9]$') 2>&1 |
		grep -v 'outdated mandoc\.db\|referenced manual not found')"
else
	skip 'mandoc finds nothing' 'mandoc is not installed'
fi
