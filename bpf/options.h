/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The option walk: rule 9 of docs/replies.md.
 *
 * The verifier follows each path through a loop, step by step, and gives up after a million
 * instructions. So the walk only notes where options are, on one path without branches. What
 * was noted is judged afterwards.
 */
#ifndef DHCP_OPTIONS_H
#define DHCP_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "maps.h"
#include "notes.h"
#include "parse.h"

#define DHCP_OPTIONS_AREA_MAX 512
#define DHCP_OPTIONS_COUNT_MAX 64

enum dhcp_option { /* RFC 2132 9; 61 also RFC 6842, 82 RFC 3046 */
	OPTION_PAD = 0,
	OPTION_REQUESTED_ADDRESS = 50,
	OPTION_OVERLOAD = 52,
	OPTION_MESSAGE_TYPE = 53,
	OPTION_SERVER_ID = 54,
	OPTION_PARAMETERS = 55,
	OPTION_MAX_SIZE = 57,
	OPTION_CLIENT_ID = 61,
	OPTION_RELAY_AGENT = 82,
	OPTION_END = 255,
};

enum dhcp_message_type { /* RFC 2132 9.6 */
	DHCPDISCOVER = 1,
	DHCPOFFER = 2,
	DHCPREQUEST = 3,
	DHCPACK = 5,
	DHCPNAK = 6,
	DHCPRELEASE = 7,
	DHCPINFORM = 8,
};

/* Code -> slot; a table, because a switch would be a branch for each case. */
static const __u8 option_slots[256] = {
	[OPTION_PAD] = SLOT_PAD,
	[OPTION_REQUESTED_ADDRESS] = SLOT_REQUESTED_ADDRESS,
	[OPTION_OVERLOAD] = SLOT_OVERLOAD,
	[OPTION_MESSAGE_TYPE] = SLOT_MESSAGE_TYPE,
	[OPTION_SERVER_ID] = SLOT_SERVER_ID,
	[OPTION_PARAMETERS] = SLOT_PARAMETERS,
	[OPTION_MAX_SIZE] = SLOT_MAX_SIZE,
	[OPTION_CLIENT_ID] = SLOT_CLIENT_ID,
	[OPTION_RELAY_AGENT] = SLOT_RELAY_AGENT,
};

/*
 * Note every option from the cookie to END, which has to be inside the UDP payload. Each step
 * waits for the length that the one before read, so there is little between the two.
 */
static __always_inline bool walk_options(const __u8 *area, const void *end, __u32 area_len,
					 struct request_notes *notes)
{
	__u32 at = 0;

	for (int step = 0; step < DHCP_OPTIONS_AREA_MAX; step++) {
		const __u8 *option;
		__u32 slot, has_len;

		if (at >= area_len || at >= DHCP_OPTIONS_AREA_MAX)
			return false;
		option = area + at;
		if ((const void *)(option + 1) > end)
			return false;
		if (option[0] == OPTION_END)
			return true;
		/* Nothing but END may stand in the last octet, so there is one to read as length. */
		if ((const void *)(option + 2) > end)
			return false;

		slot = option_slots[option[0]] & (SLOT_COUNT - 1);
		notes->times[slot]++;
		notes->found_at[slot] = at;
		has_len = (option[0] + 255u) >> 8; /* all but PAD */
		asm volatile("" : "+r"(has_len)); /* or clang makes a branch of it */
		at += 1 + (1 + option[1]) * has_len;
	}
	return false;
}

/*
 * The noted option of `slot`, which has to be `min` to `max` octets long; NULL if it is not.
 */
static __always_inline const __u8 *noted(const __u8 *area, const void *end,
					 const struct request_notes *notes, enum option_slot slot,
					 __u32 min, __u32 max)
{
	const __u8 *option = area + (notes->found_at[slot] & (DHCP_OPTIONS_AREA_MAX - 1));

	if ((const void *)(option + 2 + min) > end)
		return NULL;
	return option[1] >= min && option[1] <= max ? option : NULL;
}

/* Read what was noted; false if a value has another length than its option may have. */
static __always_inline bool read_values(const __u8 *area, const void *end,
					struct request_notes *notes)
{
	const __u8 *option;

	if (notes->times[SLOT_MESSAGE_TYPE]) {
		option = noted(area, end, notes, SLOT_MESSAGE_TYPE, 1, 1);
		if (!option)
			return false;
		notes->message_type = option[2];
	}
	if (notes->times[SLOT_REQUESTED_ADDRESS]) {
		option = noted(area, end, notes, SLOT_REQUESTED_ADDRESS, 4, 4);
		if (!option)
			return false;
		notes->requested_be = *(const __be32 *)(option + 2);
	}
	if (notes->times[SLOT_SERVER_ID]) {
		option = noted(area, end, notes, SLOT_SERVER_ID, 4, 4);
		if (!option)
			return false;
		notes->server_be = *(const __be32 *)(option + 2);
	}
	if (notes->times[SLOT_MAX_SIZE]) {
		option = noted(area, end, notes, SLOT_MAX_SIZE, 2, 2);
		if (!option)
			return false;
		notes->max_size = bpf_ntohs(*(const __be16 *)(option + 2));
	}
	if (notes->times[SLOT_CLIENT_ID]) {
		option = noted(area, end, notes, SLOT_CLIENT_ID, 1, DHCP_OPTION_VALUE_MAX);
		if (!option)
			return false;
		notes->client_id.len = option[1];
	}
	if (notes->times[SLOT_RELAY_AGENT]) {
		option = noted(area, end, notes, SLOT_RELAY_AGENT, 1, DHCP_OPTION_VALUE_MAX);
		if (!option)
			return false;
		notes->relay_agent.len = option[1];
	}
	return true;
}

/* Rule 9. */
static __always_inline bool read_options(const struct dhcp_frame *frame, __u32 area_len,
					 struct request_notes *notes)
{
	const __u8 *area = frame->options;
	const void *end = frame->end;
	__u32 count;

	if (area_len > DHCP_OPTIONS_AREA_MAX)
		return false;
	if (!walk_options(area, end, area_len, notes))
		return false;
	barrier();

	if (notes->times[SLOT_OVERLOAD])
		return false;
	count = notes->times[SLOT_OTHER];
	for (int slot = SLOT_REQUESTED_ADDRESS; slot <= SLOT_RELAY_AGENT; slot++) {
		if (notes->times[slot] > 1)
			return false;
		count += notes->times[slot];
	}
	if (count > DHCP_OPTIONS_COUNT_MAX)
		return false;
	return read_values(area, end, notes);
}

/*
 * Keep an option for the reply, which is written over the request: by words, of which the last
 * is read from in front, because the frame may end behind the value. Zeros fill it up.
 */
static __always_inline bool save_option(const struct dhcp_frame *frame,
					const struct request_notes *notes, enum option_slot slot,
					struct echoed *saved)
{
	const __u8 *octet = frame->options, *behind;
	__u32 len = READ_ONCE(saved->len) & DHCP_OPTION_VALUE_MAX;
	__u32 i;

	octet += 2 + (notes->found_at[slot] & (DHCP_OPTIONS_AREA_MAX - 1));
	behind = octet + len;
	for (i = 0; i + 8 <= len; i += 8, octet += 8) {
		if ((const void *)(octet + 8) > frame->end)
			return false;
		*(__u64 *)(saved->value + i) = *(const __u64 *)octet;
	}
	if (!(len & 7))
		return true;
	if ((const void *)behind > frame->end)
		return false;
	*(__u64 *)(saved->value + (len & ~7u)) =
		*(const __u64 *)(behind - 8) >> (8 - (len & 7)) * 8;
	return true;
}

#endif
