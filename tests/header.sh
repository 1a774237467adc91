#!/bin/sh
# SPDX-License-Identifier: MIT
#
# What the author of a module compiles against: the header as strict C99 and as C++, the examples and those
# of the manual page, and pkg-config's file, in the build tree and installed. Each with the compilers
# that there are.
# shellcheck disable=SC2154 # TARGET_cxx: set by start_server
# shellcheck source=tests/lib.sh
. "${top_srcdir:-.}/tests/lib.sh"
require pkg-config make
plan 27

page=$top_srcdir/man/simple-server-handler.3
src=$top_srcdir/src
allow_root="$allow_root --allow-own-modules"
: >"$DAEMON_LOG"

warnings='-pedantic -Wall -Wextra -Werror -Wconversion -Wshadow -Wformat=2 -Wundef -Wvla'
c_warnings="$warnings -Wstrict-prototypes -Wmissing-prototypes -Wwrite-strings"

# with COMPILER NAME COMMAND...: a check, or a skip where the compiler is missing.
with() {
	with_compiler=$1
	with_name="$2 ($1)"
	shift 2
	if command -v "$with_compiler" >/dev/null; then
		check "$with_name" "$@"
	else
		skip "$with_name" "$with_compiler is missing"
	fi
}

# c99 COMPILER FILE...: each for itself.
c99() {
	c99_compiler=$1
	shift
	for c99_file; do
		# shellcheck disable=SC2086 # a list of words
		"$c99_compiler" -std=c99 $c_warnings -I "$src" -fPIC -shared -o "$work/c99.so" "$c99_file" || return
	done
}

# cxx COMPILER YEAR FILE
cxx() {
	# shellcheck disable=SC2086
	"$1" -std="c++$2" $warnings -I "$src" -fPIC -shared -o "$work/cxx$2.so" "$3"
}

# ---- the header, the examples

# Before anything else, and twice.
printf '%s\n' '#include "simple-server.h"' '#include "simple-server.h"' >"$work/alone.c"
cp "$work/alone.c" "$work/alone.cc"

# Literal displays of the page that are a whole module.
awk -v out="$work/page-" '
	/^\.Bd -literal/ { inside = 1; text = ""; next }
	/^\.Ed/ { if (inside && text ~ /SS_MODULE/) { n++; printf "%s", text >(out n ".c") } inside = 0 }
	inside { gsub(/\\e/, "\\"); text = text $0 "\n" }' "$page"
is 'the page has two whole modules' "$(find "$work" -name 'page-*.c' | wc -l)" 2

sed 's/@NAME@/new/g' "$top_srcdir/template/module.c" >"$work/new.c"
for compiler in gcc clang; do
	with $compiler 'C99: the header alone' c99 $compiler "$work/alone.c"
	with $compiler 'C99: the examples' c99 $compiler "$top_srcdir"/examples/*.c
	with $compiler 'C99: the examples of the page' c99 $compiler "$work"/page-*.c
	with $compiler 'C99: the template' c99 $compiler "$work/new.c"
done

# ---- C++

cat >"$work/module.cc" <<'END'
#include <simple-server.h>
#include <cctype>
#include <string>

namespace
{
struct settings {
	bool loud;
	std::int64_t most;
	int pause, mode;
	const char *end;
};

const char *const modes[] = { "upper", "as-is", nullptr };
const char *const counters[] = { "lines", nullptr };

const ss_key keys[] = {
	SS_BOOL(settings, loud, true, "a bool"),
	SS_INTEGER(settings, most, 1, 1000, 100, "bytes", "an integer"),
	SS_SECONDS(settings, pause, 0, 60000, 1000, "a time"),
	SS_WORD(settings, mode, modes, 0, "a word"),
	SS_STRING(settings, end, 1, 8, "!", "a string"),
	SS_NO_MORE_KEYS,
};

void each_line(ss_connection *connection, const char *line, std::size_t length)
{
	if (!line)
		return;
	const auto *set = static_cast<const settings *>(ss_settings(ss_service_of(connection)));
	std::string text(line, length);
	if (set->mode == 0)
		for (auto &c : text)
			c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
	text += set->end;
	text += '\n';
	ss_write(connection, text.data(), text.size());
	ss_count(connection, 0, 1);
}

std::size_t data(ss_connection *connection, const void *bytes, std::size_t length)
{
	return ss_lines(connection, bytes, length, 100, each_line);
}

ss_handler make()
{
	ss_handler handler{};
	handler.size = sizeof(handler);
	handler.abi = SS_ABI;
	handler.flags = SS_SPEAKS_FIRST | SS_OFFLOADS;
	handler.name = "cxx";
	handler.keys = keys;
	handler.settings_size = sizeof(settings);
	handler.counters = counters;
	handler.data = data;
	return handler;
}

const ss_handler handler = make();
} // namespace

SS_MODULE(handler);
END
for compiler in g++ clang++; do
	for year in 11 20; do
		with $compiler "C++$year: the header alone" cxx $compiler $year "$work/alone.cc"
		with $compiler "C++$year: a module" cxx $compiler $year "$work/module.cc"
	done
done
# The last of the two, if there are both.
if [ -e "$work/cxx11.so" ] && command -v socat >/dev/null; then
	chmod 755 "$work" "$work/cxx11.so"
	config <<-END
	sockets = ( { name = "cxx"; handler = "module"; module = "$work/cxx11.so";
	  settings: { end = "?"; most = 7; }; } );
	END
	check 'the server takes a module in C++' start_server --tcp cxx=127.0.0.1:0
	is 'and it answers' "$(echo hello | timeout 20 socat -t 20 - "TCP4:$TARGET_cxx")" 'HELLO?'
	stop_and_check 'and the server ends with 0'
else
	skip 'the server takes a module in C++' 'there is no compiler of C++, or no socat' 3
fi

# ---- pkg-config's file in the build tree

PKG_CONFIG_PATH=$top_builddir
export PKG_CONFIG_PATH
unset MAKEFLAGS MFLAGS MAKELEVEL

# variable NAME: what a Makefile gets.
variable() {
	pkg-config --variable="$1" simple-server
}
is 'it has the version of the server' "simple-server $(pkg-config --modversion simple-server)" \
	"$("$server" --version | head -n 1)"
check 'it finds the header' test -f "$(variable includedir)/simple-server.h"
check 'it finds the server' test -x "$(variable sbindir)/simple-server"
check 'it finds the template' test -f "$(variable templatedir)/module.c"
mkdir "$work/examples" && cp "$top_srcdir"/examples/* "$work/examples" && chmod -R u+w "$work/examples"
check 'the examples are built with it, anywhere' make -C "$work/examples" CFLAGS='-O2 -Wall -Wextra -Werror'
check 'and installed where it says' make -C "$work/examples" install DESTDIR="$work/root"
is 'all of them' "$(cd "$work/root$(variable moduledir)" && echo *.so)" 'kv.so lines.so resolve.so'
