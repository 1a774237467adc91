# SPDX-License-Identifier: MIT

# SS_FLAGS(VARIABLE, FLAGS)
# Appends to VARIABLE each of FLAGS that compiler and linker take without a warning.
AC_DEFUN([SS_FLAGS], [
for ss_flag in m4_normalize([$2]); do
  AC_MSG_CHECKING([whether $CC takes $ss_flag])
  ss_saved_CFLAGS=$CFLAGS
  CFLAGS="$CFLAGS -Werror $ss_flag"
  AC_LINK_IFELSE([AC_LANG_PROGRAM()],
    [ss_takes=yes; AS_VAR_APPEND([$1], [" $ss_flag"])], [ss_takes=no])
  CFLAGS=$ss_saved_CFLAGS
  AC_MSG_RESULT([$ss_takes])
done
AC_SUBST([$1])])

# SS_FORTIFY(VARIABLE)
# Appends the highest _FORTIFY_SOURCE that the C library knows, unless the user chose one already or
# does not optimise (it would only warn then).
AC_DEFUN([SS_FORTIFY], [
AC_MSG_CHECKING([for the highest _FORTIFY_SOURCE])
ss_fortify=no
ss_saved_CFLAGS=$CFLAGS
for ss_level in 3 2; do
  CFLAGS="$ss_saved_CFLAGS -Werror -D_FORTIFY_SOURCE=$ss_level"
  AC_COMPILE_IFELSE([AC_LANG_PROGRAM([[
    #include <string.h>
    #ifndef __OPTIMIZE__
    #error "no optimisation"
    #endif]])],
    [ss_fortify=$ss_level; AS_VAR_APPEND([$1], [" -D_FORTIFY_SOURCE=$ss_level"]); break])
done
CFLAGS=$ss_saved_CFLAGS
AC_MSG_RESULT([$ss_fortify])
AC_SUBST([$1])])

# SS_SYSTEMD_DIR(NAME, PKG-CONFIG VARIABLE, FALLBACK UNDER ${prefix}, WHAT GOES THERE)
# --with-NAME=DIR; "no" leaves those files out. systemd.pc is asked only when installing into /usr:
# any other prefix keeps all its files to itself, and systemd looks into /usr/local/lib as well.
AC_DEFUN([SS_SYSTEMD_DIR], [
AC_ARG_WITH([$1], [AS_HELP_STRING([--with-$1=DIR], [directory for $4, or "no"])],
  [], [with_$1=yes])
AS_CASE([$with_$1],
  [no], [$1=],
  [yes], [
    $1=
    AS_IF([test "x$prefix" = x/usr], [$1=`$PKG_CONFIG --variable=$2 systemd 2>/dev/null`])
    AS_IF([test -z "$$1"], [$1='${prefix}/$3'])],
  [$1=$with_$1])
AC_SUBST([$1])])
