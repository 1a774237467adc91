/* SPDX-License-Identifier: MIT */
/*
 * Where a setting of libconfig's tree stands in the files, and what is said about it.
 */
#ifndef SIMPLE_SERVER_SETTINGS_COMPLAIN_H
#define SIMPLE_SERVER_SETTINGS_COMPLAIN_H

#include <libconfig.h>
#include <stdbool.h>

#include "report.h"
#include "settings-value.h"
#include "settings.h"
#include "text.h"

struct complaints {
	struct report *report;
	const struct text *text; /* what libconfig has parsed */
	bool silent;             /* somebody complains later about the same */
};

struct settings_where complaints_where(const struct complaints *complaints,
				       const config_setting_t *at);

/* A problem at a setting; nothing more about one whose value is known to be wrong. */
void complain(const struct complaints *complaints, const config_setting_t *at, const char *format,
	      ...) __attribute__((format(printf, 3, 4)));

/*
 * The value of a setting, if it is as the rule says; else that is complained of. `group`, "" for
 * none, and the setting's own name are what the message calls it.
 */
bool complaints_get(const struct complaints *complaints, const config_setting_t *setting,
		    const char *group, const struct value_rule *rule, struct value *ret_value);

#endif
