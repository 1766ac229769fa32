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

#include "maps.h"
#include "notes.h"
#include "options.h"
#include "parse.h"

#define WORDS(octets) (((octets) + 7) / 8)

/* Note what option 55 names; a client without it asks for everything. */
static __always_inline void note_parameters(const struct dhcp_frame *frame,
					    struct request_notes *notes)
{
	const __u8 *option = frame->options;
	__u64 all = notes->times[SLOT_PARAMETERS] ? 0 : ~0ULL;
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
	barrier();
}

/*
 * Append `len` octets at `at` of the pool's options, by words: up to seven octets behind them
 * come along, and are written over next.
 */
static __always_inline void append(const struct ip_pool *pool, __u32 at, __u32 len,
				   struct chosen *chosen)
{
	__u32 to = chosen->len;

	for (__u32 i = 0; i < WORDS(2 + DHCP_OPTION_VALUE_MAX) && i * 8 < len; i++)
		*(__u64 *)(chosen->options + ((to + i * 8) & (DHCP_POOL_OPTIONS_MAX - 1))) =
			*(const __u64 *)(pool->options +
					 ((at + i * 8) & (DHCP_POOL_OPTIONS_MAX - 1)));
	chosen->len = to + len;
	chosen->room -= len;
}

/*
 * Choose of the pool's options the first `always_len` octets, and behind them those that are
 * asked for, as long as they fit `room`.
 */
static __always_inline void choose_options(const struct ip_pool *pool, __u32 always_len,
					   __u32 room, struct request_notes *notes)
{
	struct chosen *chosen = &notes->chosen;
	__u32 at, len;
	__u8 code;

	chosen->at = chosen->len = always_len;
	chosen->room = room;
	__builtin_memset(chosen->options, 0, sizeof(chosen->options));
	for (__u32 i = 0; i < WORDS(DHCP_POOL_OPTIONS_MAX) && i * 8 < always_len; i++)
		((__u64 *)chosen->options)[i] = ((const __u64 *)pool->options)[i];

	for (int step = 0; step < DHCP_ON_REQUEST_MAX; step++) {
		barrier();
		at = chosen->at;
		if (at >= pool->options_len)
			break;
		code = pool->options[at & (DHCP_POOL_OPTIONS_MAX - 1)];
		len = 2 + pool->options[(at + 1) & (DHCP_POOL_OPTIONS_MAX - 1)];
		chosen->at = at + len;
		if (notes->parameters[code >> 6] >> (code & 63) & 1 && len <= chosen->room)
			append(pool, at, len, chosen);
	}
	barrier();
	len = chosen->len;
	if (len <= DHCP_POOL_OPTIONS_MAX)
		*(__u64 *)(chosen->options + len) = 0;
	barrier();
}

#endif
