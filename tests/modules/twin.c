/* SPDX-License-Identifier: MIT */
/* Another module with the symbols of hello. */
#define NAME "twin"
#include "hello.c"
