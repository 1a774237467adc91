/* SPDX-License-Identifier: MIT */
/* A library that is no module: there is no ss_module(). */
int nothing_of_interest(void);
int nothing_of_interest(void)
{
	return 0;
}
