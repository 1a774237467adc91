/* SPDX-License-Identifier: MIT */
#include "mode.h"

const struct mode *mode_find(enum plan_mode mode)
{
	static const struct mode *const modes[MODES] = {
		[MODE_ECHO] = &mode_echo,       [MODE_DISCARD] = &mode_discard,
		[MODE_CHARGEN] = &mode_chargen, [MODE_DAYTIME] = &mode_daytime,
		[MODE_TIME] = &mode_time,       [MODE_CHURN] = &mode_churn,
		[MODE_IDLE] = &mode_idle,       [MODE_DRIP] = &mode_drip,
		[MODE_DEAF] = &mode_deaf,       [MODE_HALF_CLOSE] = &mode_half_close,
		[MODE_RESET] = &mode_reset,     [MODE_SILENT] = &mode_silent,
	};

	return modes[mode];
}
