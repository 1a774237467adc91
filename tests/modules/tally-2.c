/* SPDX-License-Identifier: MIT */
/* tally, a version later, which does not know the state of the first one. */
#define TALLY_VERSION 2
#include "tally.c"
