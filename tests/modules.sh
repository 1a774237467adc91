#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Handlers in modules: which files are loaded and what is said about the others, their own keys, and
# several of them in one server.
# shellcheck disable=SC2154 # PORT_name, server, work: set by lib.sh
# shellcheck source=tests/lib.sh
. "${top_srcdir:-.}/tests/lib.sh"
require nc nm
plan 54

modules=$top_builddir/tests/modules
lib=$work/lib
mkdir -m 755 "$lib"
umask 022

# What the suite makes is the user's; only as root it is root's as well.
own=
[ "$(id -u)" = 0 ] || own=--allow-own-modules
allow_root="$allow_root $own"

# put NAME: a fresh copy of a module, as it would be installed.
put() {
	for put_name; do
		rm -f "$lib/$put_name" && cp "$modules/$put_name" "$lib/$put_name" &&
			chmod 644 "$lib/$put_name" || exit 99
	done
}

# entry MODULE [SETTINGS]: a file with one entry, the module in line 2, the settings in line 3.
entry() {
	config <<END
sockets = ( { name = "m"; handler = "module";
  module = "$1";
  settings: { ${2-} }; } );
END
}

check_config() {
	# shellcheck disable=SC2086 # nothing, or one word
	"$server" --config "$conf" --check $own
}

# refused NAME LINE REGEX: --check says one line, with the number LINE, which matches.
refused() {
	check_config >"$work/out" 2>&1
	refused_status=$?
	if [ $refused_status != 78 ] || [ "$(wc -l <"$work/out")" != 1 ]; then
		not_ok "$1" "exit status $refused_status" "$(cat "$work/out")"
	else
		like "$1" "$work/out" "^$conf:$2: $3"
	fi
}

# not_loaded NAME MODULE REGEX: the message about a module, behind its name.
not_loaded() {
	entry "$2"
	refused "$1" 2 "module \"$2\": $3"
}

# ---- what is exported to them

awk '/^static inline/ { inside = 1 }
	match($0, /ss_[a-z_]+\(/) {
		name = substr($0, RSTART, RLENGTH - 1)
		if (inside) inlined[name]; else called[name]
		inside = 0
	}
	END { for (name in called) if (!(name in inlined) && name != "ss_module") print name }' \
	"$top_srcdir/src/simple-server.h" | sort >"$work/header"
nm -D --defined-only "$server" | sed -n 's/.* T \(ss_[a-z_]*\)$/\1/p' | sort >"$work/exported"
is 'each function of the header can be called by a module' \
	"$(cat "$work/exported")" "$(cat "$work/header")"

# ---- where a module may be

put hello.so small.so
entry "$lib/hello.so"
check 'a module' check_config
entry "$lib/./hello.so"
check 'a module, by another path' check_config

not_loaded 'a relative path' "lib/hello.so" 'is a relative path; write an absolute one'
mkdir "$lib/\$LIB"
cp "$lib/hello.so" "$lib/\$LIB/hello.so"
entry "$lib/\$LIB/hello.so"
refused 'a path that the loader expands' 2 'module ".*/hello.so": has a \$ in its path'
not_loaded 'a ".."' "$lib/../lib/hello.so" 'has a "\.\."; write the path without it'
not_loaded 'a path that leads nowhere' "$lib/nowhere.so" 'cannot be opened: No such file or directory'
not_loaded 'a directory' "$lib" 'is a directory; write the name of a shared object'
LD_LIBRARY_PATH=$lib
export LD_LIBRARY_PATH
not_loaded 'a name that only LD_LIBRARY_PATH would find' hello.so '.*simple-server'
unset LD_LIBRARY_PATH

mkdir "$work/elsewhere" && ln -s ../lib/hello.so "$work/elsewhere/link.so"
entry "$work/elsewhere/link.so"
check 'a symbolic link' check_config
chmod 777 "$work/elsewhere"
check 'a symbolic link from where everybody can write, to where nobody can' check_config
put small.so && mv "$lib/small.so" "$work/elsewhere" && ln -s "$work/elsewhere/small.so" "$lib/out.so"
not_loaded 'a symbolic link to where everybody can write' "$lib/out.so" \
	"$work/elsewhere can be written by everybody \(mode 0777\); take that away: chmod go-w"

# ---- whose it may be

put hello.so
chmod 664 "$lib/hello.so"
not_loaded 'a file that its group can write' "$lib/hello.so" \
	"$lib/hello.so can be written by its group \(mode 0664\)"
chmod 646 "$lib/hello.so"
not_loaded 'a file that everybody can write' "$lib/hello.so" \
	"$lib/hello.so can be written by everybody \(mode 0646\)"
chmod 644 "$lib/hello.so"
chmod 775 "$lib"
not_loaded 'a directory that its group can write' "$lib/hello.so" \
	"$lib can be written by its group \(mode 0775\)"
chmod 1777 "$lib"
entry "$lib/hello.so"
check 'a directory that everybody can write, with the sticky bit' check_config
chmod 755 "$lib"

if [ "$(id -u)" = 0 ]; then
	chown 4711 "$lib/hello.so"
	not_loaded 'a file of somebody else' "$lib/hello.so" \
		"$lib/hello.so belongs to the user 4711; make it root's$"
	own=--allow-own-modules
	not_loaded 'the same with --allow-own-modules' "$lib/hello.so" "$lib/hello.so belongs to the user"
	own=
	chown 0 "$lib/hello.so" && chown 4711 "$lib"
	not_loaded 'a directory of somebody else' "$lib/hello.so" "$lib belongs to the user 4711"
	chown 0 "$lib"
	skip 'a file that cannot be read' 'root can read all files'
	skip 'our own file without --allow-own-modules' 'it is root'"'"'s'
else
	skip 'a file of somebody else' 'not root' 3
	chmod 0 "$lib/hello.so"
	not_loaded 'a file that cannot be read' "$lib/hello.so" 'cannot be opened: Permission denied'
	put hello.so
	own=
	not_loaded 'our own file without --allow-own-modules' "$lib/hello.so" \
		"$work belongs to the user .*; make it root's, or use --allow-own-modules|.*$lib belongs"
	own=--allow-own-modules
fi

# ---- what is in it

loader='build it as a shared object for this machine'
echo 'This is no shared object, but long enough that nobody says it is too short for one.' >"$lib/text.so"
not_loaded 'a text' "$lib/text.so" "cannot be loaded: .*; $loader"
: >"$lib/empty.so"
not_loaded 'an empty file' "$lib/empty.so" "cannot be loaded: file too short; $loader"
head -c 1000 "$modules/hello.so" >"$lib/cut.so"
not_loaded 'half a file' "$lib/cut.so" 'is not complete: it ends after 1000 bytes; install it again'
put small.so
class=$(od -An -tu1 -j4 -N1 "$lib/small.so")
# shellcheck disable=SC2059 # an octal escape
printf "\\$((3 - class))" | dd of="$lib/small.so" bs=1 seek=4 conv=notrunc 2>/dev/null
not_loaded 'a file for another kind of machine' "$lib/small.so" \
	"cannot be loaded: wrong ELF class: ELFCLASS[36][24]; $loader"

put bad-abi.so bad-data.so bad-entry.so bad-keys.so bad-newer.so bad-symbol.so newer.so
not_loaded 'no ss_module()' "$lib/bad-entry.so" 'has no ss_module\(\), .*; write SS_MODULE\(.*\); in it'
not_loaded 'a call of what is not there' "$lib/bad-symbol.so" \
	'cannot be loaded: undefined symbol: ss_not_there_yet; link it .*, or use a newer simple-server'
not_loaded 'another version of the interface' "$lib/bad-abi.so" \
	'was built for version [0-9]+ of the interface, and this server has version [0-9]+; build it'
not_loaded 'a callback of a newer header' "$lib/bad-newer.so" \
	'uses callbacks of a newer header, .*; update simple-server'
entry "$lib/newer.so"
check 'a newer header, of which nothing is used' check_config
not_loaded 'no data()' "$lib/bad-data.so" 'its handler has no data\(\), which is required'
not_loaded 'a key beyond the settings' "$lib/bad-keys.so" \
	'its key "second" lies beyond its settings_size of 4 bytes'

# ---- what the entry says

config <<'END'
sockets = (
  { name = "m"; handler = "module"; } );
END
refused 'handler = "module" alone' 2 'handler = "module" does not say which; write module = "NAME.so"'
config <<END
sockets = ( { name = "m"; handler = "echo";
  module = "$lib/hello.so"; } );
END
refused 'a module that is not used' 2 \
	'module = ".*" is not used by handler = "echo"; write handler = "module", or remove this line'
config <<'END'
sockets = ( { name = "m";
  handler = "hello"; } );
END
refused 'the name of a module as a handler' 2 \
	'there is no handler "hello"; for one that is in a module write handler = "module"; module ='

entry "$lib/hello.so" 'times = 0;'
refused 'a key out of range' 3 'settings\.times = 0 is out of range; write an integer from 1 to 100'
entry "$lib/hello.so" 'loud = "yes";'
refused 'a key of another type' 3 'settings\.loud is a string; write true or false'
entry "$lib/hello.so" 'ending = "cr";'
refused 'a word that is not one' 3 'settings\.ending = "cr" is not possible; write "lf" or "crlf"'
entry "$lib/hello.so" 'greting = "a";'
refused 'an unknown key' 3 'unknown key "greting" in settings: \{ \}; did you mean "greeting"\?'
entry "$lib/hello.so" 'greeting = ""; times = 7;'
refused 'what only the handler knows to be wrong' 3 \
	'settings of the handler "hello": an empty greeting 7 times; write 1'
put small.so
entry "$lib/small.so" 'greeting = "a";'
refused 'a key where there are none' 3 'unknown key "greeting" .*; the handler has no keys of its own'

config <<END
sockets = ( { name = "m"; handler = "module"; module = "$lib/nowhere.so"; },
  { name = "n"; handler = "module"; module = "$lib/hello.so"; settings: { pause = -1; }; },
  { name = "o"; handler = "ecko"; },
  { name = "p"; handler = "module"; module = "$lib/bad-entry.so"; } );
END
check_config >"$work/out" 2>&1
is 'all errors are told' "$(sed 's/^[^:]*:\([0-9]*\):.*/\1/' "$work/out" | tr '\n' ' ')" '1 2 3 4 '

# ---- --dump

entry "$lib/hello.so" 'greeting = "a \"b\""; pause = 0.25;'
# shellcheck disable=SC2086
"$server" --config "$conf" --dump $own >"$work/dump" 2>&1
like '--dump has the module' "$work/dump" "module = \"$lib/hello.so\";"
like '--dump has what was set' "$work/dump" 'greeting = "a \\"b\\""; # what is said: a string of 0 to 64'
like '--dump has what was not' "$work/dump" 'limit = 8589934592L; # unused: an integer from 0 to'
like '--dump has the counters' "$work/dump" '# counters: greetings, farewells$'
cp "$work/dump" "$conf"
# shellcheck disable=SC2086
"$server" --config "$conf" --dump $own >"$work/again" 2>&1
is 'it loads again to the same' "$(sed 's/; # .*//' "$work/again")" "$(sed 's/; # .*//' "$work/dump")"

# ---- several in one server

put hello.so twin.so
config <<END
sockets = (
  { name = "one"; handler = "module"; module = "$lib/hello.so"; settings: { ending = "lf"; }; },
  { name = "two"; handler = "module"; module = "$lib/hello.so";
    settings: { greeting = "hi"; times = 2; loud = true; ending = "lf"; }; },
  { name = "twin"; handler = "module"; module = "$lib/twin.so"; settings: { ending = "lf"; }; }
);
END
check 'three sections and two modules' start_server \
	--tcp one=127.0.0.1:0 --tcp two=127.0.0.1:0 --tcp twin=127.0.0.1:0 || exit
said() {
	timeout 20 nc -d 127.0.0.1 "$1"
}
is 'defaults of the module' "$(said "$PORT_one")" 'hello: hello world'
is 'another section has settings of its own' "$(said "$PORT_two")" 'hello: hi!
hello: hi!'
is 'a module with the same symbols has code of its own' "$(said "$PORT_twin")" 'twin: hello world'
mv "$lib/twin.so" "$lib/hello.so"
is 'a module that is replaced changes nothing until the restart' "$(said "$PORT_one")" 'hello: hello world'
stop_and_check 'it ends with 0'

entry "$lib/bad-entry.so"
server_args=$allow_root
refuses 'the server does not start with a wrong module' "$conf:2: module .* has no ss_module" \
	--tcp m=127.0.0.1:0
