/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Which of a pool's options on request a client is sent: "Options on request" of
 * docs/replies.md. A pool that has none costs nothing here.
 */
#ifndef DHCP_PARAMETERS_H
#define DHCP_PARAMETERS_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "checksum.h"
#include "maps.h"
#include "notes.h"
#include "options.h"
#include "parse.h"

/* A look at each option, its words, of which the last may be a part, and the end. */
#define CHOOSING_STEPS (2 * DHCP_ON_REQUEST_MAX + DHCP_POOL_OPTIONS_MAX / 8 + 2)

/* Note what option 55 names; a client without it asks for everything. */
static __always_inline void note_parameters(const struct dhcp_frame *frame,
					    struct request_notes *notes)
{
	const __u8 *option = frame->options;
	__u64 all = has_option(notes, SLOT_PARAMETERS) ? 0 : ~0ULL;
	__u32 len = 0;

	for (int i = 0; i < 4; i++)
		notes->parameters[i] = all;
	option += notes->found_at[SLOT_PARAMETERS] & (DHCP_OPTIONS_AREA_MAX - 1);
	if (!all && (const void *)(option + 2) <= frame->end)
		len = option[1];
	for (__u32 i = 0; i < len && i < DHCP_OPTION_VALUE_MAX; i++) {
		if ((const void *)(option + i + 3) > frame->end)
			break; /* never: the walk has seen that the value is inside */
		notes->parameters[option[i + 2] >> 6] |= 1ULL << (option[i + 2] & 63);
	}
	join_paths();
}

/* Copy eight octets of the option that is being taken; those too many are written over next. */
static __always_inline void copy_word(const struct ip_pool *pool, struct chosen *chosen)
{
	*(__u64 *)(chosen->options + (chosen->to & (DHCP_POOL_OPTIONS_MAX - 1))) =
		*(const __u64 *)(pool->options + (chosen->from & (DHCP_POOL_OPTIONS_MAX - 1)));
	chosen->to += 8;
	chosen->from += 8;
}

/* Take the next option if it is asked for and fits; false behind the last. */
static __always_inline bool next_option(const struct ip_pool *pool, const __u64 *parameters,
					struct chosen *chosen)
{
	__u32 at = chosen->at, len;
	__u8 code;

	if (at >= pool->options_len)
		return false;
	code = pool->options[at & (DHCP_POOL_OPTIONS_MAX - 1)];
	len = 2 + pool->options[(at + 1) & (DHCP_POOL_OPTIONS_MAX - 1)];
	chosen->at = at + len;
	if (parameters[code >> 6] >> (code & 63) & 1 && len <= chosen->room) {
		chosen->room -= len;
		chosen->from = at;
		chosen->to = chosen->len;
		chosen->len += len;
	}
	return true;
}

/*
 * Choose of the pool's options 53 and 54, from there to `base_len` what every reply of this kind
 * has, and behind it those on request that are asked for, as long as they fit `room`. One loop,
 * which the verifier goes through once.
 */
static __always_inline void choose_options(const struct ip_pool *pool, __u32 base_len,
					   __u32 room, struct request_notes *notes)
{
	struct chosen *chosen = &notes->chosen;
	__u32 reply = READ_ONCE(notes->reply), len;

	chosen->at = reply == DHCP_nak ? pool->options_len : pool->always_len;
	chosen->from = reply == DHCP_inform_ack ? DHCP_OPT_FIXED_LEN : DHCP_OPT_AT_TIMES;
	chosen->to = DHCP_OPT_AT_TIMES;
	chosen->len = base_len;
	chosen->room = room;
	__builtin_memset(chosen->options, 0, sizeof(chosen->options));
	__builtin_memcpy(chosen->options, pool->options, DHCP_OPT_AT_TIMES);
	for (int step = 0; step < CHOOSING_STEPS; step++) {
		barrier();
		if (chosen->to < chosen->len)
			copy_word(pool, chosen);
		else if (!next_option(pool, notes->parameters, chosen))
			break;
	}
	join_paths();
	len = chosen->len;
	if (len <= DHCP_POOL_OPTIONS_MAX)
		*(__u64 *)(chosen->options + len) = 0;
	notes->options_sum = sum_words(chosen->options, OPTIONS_LEN_MIN);
	join_paths();
}

#endif
