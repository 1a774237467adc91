/* SPDX-License-Identifier: MIT */
/* Uses the callback that only a newer header has. */
#define USED newer_data
#include "newer.c"
