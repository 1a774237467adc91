#!/bin/sh
# SPDX-License-Identifier: MIT
#
# A new module by the command, as somebody who has just installed simple-server: it is built, passes its own
# tests and is installed. Once with the tree that it was built in, and once with an installed one.
# shellcheck disable=SC2154 # server, work: set by lib.sh
# shellcheck source=tests/lib.sh
. "${top_srcdir:-.}/tests/lib.sh"
require pkg-config make systemd-socket-activate install
command -v socat >/dev/null || require nc
plan 43

: >"$DAEMON_LOG"
page=$top_srcdir/man/simple-server-handler.3
command=$top_builddir/tools/simple-server-new-module
PKG_CONFIG_PATH=$top_builddir
export PKG_CONFIG_PATH
# The tests of the module are not ours.
unset MAKEFLAGS MFLAGS MAKELEVEL top_srcdir srcdir builddir CDPATH
cd "$work" || exit 99

# new ARGUMENT...: sets status; output in $work/out and $work/err.
new() {
	"$command" "$@" >"$work/out" 2>"$work/err" </dev/null
	status=$?
}

# ---- what it refuses

new --help
is '--help' "$status $(head -n 1 "$work/out")" '0 usage: simple-server-new-module NAME [DIRECTORY]'
new --version
is '--version' "$status $(cat "$work/out")" "0 simple-server-new-module $("$server" --version | head -n 1 | cut -d ' ' -f 2)"
new
is 'no name' "$status $(head -n 1 "$work/err")" '64 usage: simple-server-new-module NAME [DIRECTORY]'
new a b c
is 'an argument too many' "$status" 64
new --nonsense
is 'an unknown option' "$status" 64
for name in '' A 1a _a a-b ../a a/b 'a b' "a'b" 'a;b' 'a&b' 'ä' "$(printf 'a\nb')"; do
	new "$name" there
	is "the name \"$(echo "$name" | tr '\n' '?')\" is refused" "$status $(test -e there || echo nothing)" '1 nothing'
done
new abcdefghijklmnopqrstuvwxyz_0123456 there
is 'a name of 33 characters' "$status" 1
mkdir there
new name there
is 'a directory that exists' "$status $(ls there)" '1 '
like 'is named' "$work/err" 'there.*exists'
rmdir there
PKG_CONFIG_PATH=$work new name there
is 'without simple-server.pc' "$status $(test -e there || echo nothing)" '1 nothing'
like 'it says what to set' "$work/err" 'PKG_CONFIG_PATH'

# ---- what it makes

# A wide umask is no reason for a module that the server does not take.
umask 0
new hello
umask 022
is 'a new module' "$status $(cat "$work/out")" '0 ./hello: edit hello.c, then "make" and "make check"'
is 'its files' "$(cd hello && echo *)" 'Makefile README.md check.sh hello.c hello.conf service.conf socket.conf'
unlike 'nothing of the template is left' hello/hello.c '@'
check 'no file has a place to be filled in' sh -c '! grep -n "@NAME@" hello/*'
check 'it is built without a warning' make -C hello CFLAGS='-O2 -Werror'
check 'its tests pass' make -C hello check
like 'all of them' "$work/check.out" '^ok - the server ends with exit status 0'
sed -i 's/greeting = "hello"/greeting = "goodbye"/' hello/hello.conf
if make -C hello check >"$work/out" 2>&1; then not_ok 'its tests find what is wrong'
else ok 'its tests find what is wrong'; fi
like 'and say so' "$work/out" '^# got: 1 goodbye world$'
echo 'int nonsense' >>hello/hello.c
if make -C hello >"$work/out" 2>&1; then not_ok 'an error of the compiler is one of make'
else ok 'an error of the compiler is one of make'; fi

# ---- the worked example of simple-server-handler(3), step by step

# display NUMBER PATTERN: the NUMBERth literal display of the page that has the pattern.
display() {
	awk -v wanted="$1" -v pattern="$2" '
		/^\.Bd -literal/ { inside = 1; text = ""; next }
		/^\.Ed/ { if (inside && index(text, pattern) && ++n == wanted) printf "%s", text; inside = 0 }
		inside { gsub(/\\e/, "\\"); text = text $0 "\n" }' "$page"
}
new rpn
display 2 SS_MODULE >rpn/rpn.c
sed -i 's/greeting = .*/depth = 10;/' rpn/rpn.conf
display 1 "is 'a sum'" >tests
sed -i -e '/^# ---- the tests/,/^# ---- the end/{ /^is /,/^$/d }' -e '/^# ---- the tests/r tests' rpn/check.sh
check 'its module passes the tests of the page' make -C rpn check CFLAGS='-O2 -Wall -Wextra -Werror'
is 'which are three, and the end' "$(grep -c '^ok - ' "$work/check.out")" 4

# ---- with an installed server

unset PKG_CONFIG_PATH
if ! make -C "$top_builddir" install DESTDIR="$work/root" >"$work/install.out" 2>&1; then
	not_ok 'make install' "$(tail -n 5 "$work/install.out")"
	exit
fi
pc=$(find "$work/root" -name simple-server.pc)
prefix=$(sed -n 's/^prefix=//p' "$pc")
PKG_CONFIG="pkg-config --define-variable=prefix=$work/root$prefix"
PKG_CONFIG_PATH=${pc%/*}
export PKG_CONFIG PKG_CONFIG_PATH
command=$(find "$work/root" -name simple-server-new-module -perm -100)
new installed deep
is 'a new module, elsewhere' "$status $(cat "$work/err")" '0 '
check 'it is built' make -C deep PKG_CONFIG="$PKG_CONFIG"
check 'its tests pass with the installed server' make -C deep check PKG_CONFIG="$PKG_CONFIG"
check 'it is installed' make -C deep install PKG_CONFIG="$PKG_CONFIG"
check 'where the server looks for modules' \
	cmp deep/installed.so "$($PKG_CONFIG --variable=moduledir simple-server)/installed.so"
check 'which is the directory that is built into it' \
	grep -qaF "$(pkg-config --variable=moduledir simple-server)" "$server"
check 'and uninstalled' make -C deep uninstall PKG_CONFIG="$PKG_CONFIG"
cp -R "$(dirname "$(find "$work/root" -path '*/examples/Makefile')")" examples
check 'the installed examples are built' make -C examples PKG_CONFIG="$PKG_CONFIG"
