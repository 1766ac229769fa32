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

#include "checksum.h"
#include "maps.h"
#include "notes.h"
#include "parse.h"

#define DHCP_OPTIONS_AREA_MAX 512
#define DHCP_OPTIONS_COUNT_MAX 64

enum dhcp_option { /* RFC 2132 9; 61 also RFC 6842, 82 RFC 3046 */
	OPTION_PAD = 0,
	OPTION_HOST_NAME = 12,
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
	[OPTION_HOST_NAME] = SLOT_HOST_NAME,
	[OPTION_REQUESTED_ADDRESS] = SLOT_REQUESTED_ADDRESS,
	[OPTION_OVERLOAD] = SLOT_OVERLOAD,
	[OPTION_MESSAGE_TYPE] = SLOT_MESSAGE_TYPE,
	[OPTION_SERVER_ID] = SLOT_SERVER_ID,
	[OPTION_PARAMETERS] = SLOT_PARAMETERS,
	[OPTION_MAX_SIZE] = SLOT_MAX_SIZE,
	[OPTION_CLIENT_ID] = SLOT_CLIENT_ID,
	[OPTION_RELAY_AGENT] = SLOT_RELAY_AGENT,
};

/* Of `seen`: an overload, or again an option of which no reply depends on more than one. */
#define REFUSED                                                                                   \
	(1U << SLOT_OVERLOAD |                                                                    \
	 (~0U << SLOT_REQUESTED_ADDRESS & ~(1U << SLOT_HOST_NAME) & (1U << SLOT_COUNT) - 1)       \
		 << SEEN_AGAIN)

/*
 * Note every option from the cookie to END, which has to be inside the UDP payload. Each step
 * waits for the length that the one before read, so there is little between the two: padding is
 * a branch, which the processor foresees. By the mask the verifier takes an option for one that
 * may be shorter than padding, so whatever holds behind an option holds behind padding too.
 */
static __always_inline bool walk_options(const __u8 *area, const void *end, __u32 area_len,
					 struct request_notes *notes)
{
	const __u8 *option;
	__u64 seen = 0;
	__u32 at = 0;

	for (int step = 0; step < DHCP_OPTIONS_AREA_MAX && at < DHCP_OPTIONS_AREA_MAX; step++) {
		__u64 slot, bit;
		__u32 len;

		option = area + at;
		/* Nothing but END may stand in the last octet, so there is one to read as length. */
		if ((const void *)(option + 2) > end || option[0] == OPTION_END)
			break;
		if (option[0] == OPTION_PAD) {
			at++;
			continue;
		}
		slot = option_slots[option[0]] & (SLOT_COUNT - 1);
		notes->found_at[slot] = at;
		bit = 1ULL << slot;
		seen |= (seen & bit) << SEEN_AGAIN | bit;
		seen += SEEN_ONE;
		len = 2 + option[1];
		asm volatile("" : "+r"(len)); /* or clang leaves the mask out */
		at += len & 511;
	}
	notes->seen = seen;
	notes->end_at = at;
	join_paths();
	at = READ_ONCE(notes->end_at);
	if (at >= DHCP_OPTIONS_AREA_MAX || at >= area_len)
		return false;
	option = area + at;
	return (const void *)(option + 1) <= end && option[0] == OPTION_END;
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

/* How long an option is that the reply carries back. */
static __always_inline bool note_echoed(const __u8 *area, const void *end,
					const struct request_notes *notes, enum option_slot slot,
					struct echoed *echoed)
{
	const __u8 *option;

	if (!has_option(notes, slot))
		return true;
	option = noted(area, end, notes, slot, 1, DHCP_OPTION_VALUE_MAX);
	if (!option)
		return false;
	echoed->len = 2 + option[1];
	return true;
}

/* Read what was noted; false if a value has another length than its option may have. */
static __always_inline bool read_values(const __u8 *area, const void *end,
					struct request_notes *notes)
{
	const __u8 *option;

	if (has_option(notes, SLOT_MESSAGE_TYPE)) {
		option = noted(area, end, notes, SLOT_MESSAGE_TYPE, 1, 1);
		if (!option)
			return false;
		notes->message_type = option[2];
	}
	if (has_option(notes, SLOT_REQUESTED_ADDRESS)) {
		option = noted(area, end, notes, SLOT_REQUESTED_ADDRESS, 4, 4);
		if (!option)
			return false;
		notes->requested_be = *(const __be32 *)(option + 2);
	}
	if (has_option(notes, SLOT_SERVER_ID)) {
		option = noted(area, end, notes, SLOT_SERVER_ID, 4, 4);
		if (!option)
			return false;
		notes->server_be = *(const __be32 *)(option + 2);
	}
	if (has_option(notes, SLOT_MAX_SIZE)) {
		option = noted(area, end, notes, SLOT_MAX_SIZE, 2, 2);
		if (!option)
			return false;
		notes->max_size = bpf_ntohs(*(const __be16 *)(option + 2));
	}
	return note_echoed(area, end, notes, SLOT_CLIENT_ID, &notes->client_id) &&
	       note_echoed(area, end, notes, SLOT_RELAY_AGENT, &notes->relay_agent);
}

/* Rule 9. */
static __always_inline bool read_options(const struct dhcp_frame *frame, __u32 area_len,
					 struct request_notes *notes)
{
	const __u8 *area = frame->options;
	const void *end = frame->end;
	__u64 seen;

	if (area_len > DHCP_OPTIONS_AREA_MAX)
		return false;
	if (!walk_options(area, end, area_len, notes))
		return false;

	seen = READ_ONCE(notes->seen);
	if ((__u32)seen & REFUSED || seen >= (DHCP_OPTIONS_COUNT_MAX + 1) * SEEN_ONE)
		return false;
	return read_values(area, end, notes);
}

/*
 * Keep an option for the reply, which is written over the request: by words, of which the last
 * is read from in front, because the frame may end behind the option. Zeros fill it up.
 */
static __always_inline bool save_option(const struct dhcp_frame *frame,
					const struct request_notes *notes, enum option_slot slot,
					struct echoed *saved)
{
	const __u8 *octet = frame->options, *behind;
	__u32 len = READ_ONCE(saved->len), i;
	__u64 sum = 0, word;

	octet += notes->found_at[slot] & (DHCP_OPTIONS_AREA_MAX - 1);
	behind = octet + (len & 511);
	for (i = 0; i + 8 <= len && i < DHCP_OPTION_MAX - 7; i += 8, octet += 8) {
		if ((const void *)(octet + 8) > frame->end)
			return false;
		word = *(const __u64 *)octet;
		*(__u64 *)(saved->octets + i) = word;
		sum += sum_of(word);
	}
	if (len & 7) {
		if ((const void *)behind > frame->end)
			return false;
		word = *(const __u64 *)(behind - 8) >> (8 - (len & 7)) * 8;
		*(__u64 *)(saved->octets + i) = word;
		sum += sum_of(word);
	}
	saved->sum = sum;
	join_paths();
	return true;
}

#endif
