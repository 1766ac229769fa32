/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The option walk: rule 7 of docs/replies.md.
 *
 * The verifier follows each path through a loop, step by step, and gives up after a million
 * instructions. So the walk only notes where options are, on one path without branches, and
 * keeps what it notes in a per-CPU map value, about which the verifier knows nothing: then all
 * states at one step are alike and it looks at one of them. What was noted is judged afterwards.
 */
#ifndef DHCP_OPTIONS_H
#define DHCP_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "maps.h"
#include "parse.h"
#include "tables.h"

#define DHCP_OPTIONS_AREA_MAX 512
#define DHCP_OPTIONS_COUNT_MAX 64

enum dhcp_option { /* RFC 2132 9; 61 also RFC 6842, 82 RFC 3046 */
	OPTION_PAD = 0,
	OPTION_REQUESTED_ADDRESS = 50,
	OPTION_OVERLOAD = 52,
	OPTION_MESSAGE_TYPE = 53,
	OPTION_SERVER_ID = 54,
	OPTION_CLIENT_ID = 61,
	OPTION_RELAY_AGENT = 82,
	OPTION_END = 255,
};

enum dhcp_message_type { /* RFC 2132 9.6 */
	DHCPDISCOVER = 1,
	DHCPOFFER = 2,
	DHCPREQUEST = 3,
	DHCPACK = 5,
};

/* What the program tells apart; an option that it does not read is OTHER. */
enum option_slot {
	SLOT_OTHER,
	SLOT_PAD,
	SLOT_REQUESTED_ADDRESS,
	SLOT_OVERLOAD,
	SLOT_MESSAGE_TYPE,
	SLOT_SERVER_ID,
	SLOT_CLIENT_ID,
	SLOT_RELAY_AGENT,
	SLOT_COUNT,
};

#define NO_LENGTH 0x80 /* the option is its code alone */

/* Code -> slot; a table, because a switch would be a branch for each case. */
static const __u8 option_kind[256] = {
	[OPTION_PAD] = SLOT_PAD | NO_LENGTH,
	[OPTION_REQUESTED_ADDRESS] = SLOT_REQUESTED_ADDRESS,
	[OPTION_OVERLOAD] = SLOT_OVERLOAD,
	[OPTION_MESSAGE_TYPE] = SLOT_MESSAGE_TYPE,
	[OPTION_SERVER_ID] = SLOT_SERVER_ID,
	[OPTION_CLIENT_ID] = SLOT_CLIENT_ID,
	[OPTION_RELAY_AGENT] = SLOT_RELAY_AGENT,
};

/* What the walk notes and what is read from it; positions count from the end of the cookie. */
struct request_options {
	__u32 area_len;
	__u32 at;
	__u32 walked;
	__u16 times[SLOT_COUNT];
	__u16 found_at[SLOT_COUNT];
	__be32 requested_be;
	__be32 server_be;
	__u8 message_type;
	__u8 client_id_len;
	__u8 client_id[255];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct request_options);
} scratch SEC(".maps");

static __always_inline struct request_options *empty_options(void)
{
	__u32 key = 0;
	struct request_options *found = bpf_map_lookup_elem(&scratch, &key);

	if (found)
		__builtin_memset(found, 0, offsetof(struct request_options, client_id));
	return found;
}

/* Note every option from the cookie to END, which has to be inside the UDP payload. */
static __always_inline bool walk_options(const __u8 *area, const void *end,
					 struct request_options *found)
{
	for (int step = 0; step < DHCP_OPTIONS_AREA_MAX; step++) {
		const __u8 *option;
		__u32 at, kind;

		barrier();
		at = found->at;
		if (at >= found->area_len || at >= DHCP_OPTIONS_AREA_MAX)
			return false;
		option = area + at;
		if ((const void *)(option + 1) > end)
			return false;
		if (option[0] == OPTION_END)
			return true;
		/* Nothing but END may stand in the last octet, so there is one to read as length. */
		if ((const void *)(option + 2) > end)
			return false;

		kind = option_kind[option[0]];
		found->times[kind & (SLOT_COUNT - 1)]++;
		found->found_at[kind & (SLOT_COUNT - 1)] = at;
		found->walked++;
		found->at = at + 1 + (1 - kind / NO_LENGTH) * (1 + option[1]);
	}
	return false;
}

/*
 * The noted option of `slot`, which has to be `min` to `max` octets long; NULL if it is not.
 * The first `min` octets of its value may be read.
 */
static __always_inline const __u8 *noted(const __u8 *area, const void *end,
					 const struct request_options *found,
					 enum option_slot slot, __u32 min, __u32 max)
{
	const __u8 *option = area + (found->found_at[slot] & (DHCP_OPTIONS_AREA_MAX - 1));

	if ((const void *)(option + 2 + min) > end)
		return NULL;
	return option[1] >= min && option[1] <= max ? option : NULL;
}

/* Read what was noted; false if a value has another length than its option may have. */
static __always_inline bool read_values(const __u8 *area, const void *end,
					struct request_options *found)
{
	const __u8 *option;

	if (found->times[SLOT_MESSAGE_TYPE]) {
		option = noted(area, end, found, SLOT_MESSAGE_TYPE, 1, 1);
		if (!option)
			return false;
		found->message_type = option[2];
	}
	if (found->times[SLOT_REQUESTED_ADDRESS]) {
		option = noted(area, end, found, SLOT_REQUESTED_ADDRESS, 4, 4);
		if (!option)
			return false;
		found->requested_be = *(const __be32 *)(option + 2);
	}
	if (found->times[SLOT_SERVER_ID]) {
		option = noted(area, end, found, SLOT_SERVER_ID, 4, 4);
		if (!option)
			return false;
		found->server_be = *(const __be32 *)(option + 2);
	}
	if (found->times[SLOT_CLIENT_ID]) {
		option = noted(area, end, found, SLOT_CLIENT_ID, 1, 255);
		if (!option)
			return false;
		found->client_id_len = option[1];
	}
	if (found->times[SLOT_RELAY_AGENT] && !noted(area, end, found, SLOT_RELAY_AGENT, 1, 255))
		return false;
	return true;
}

/* Rule 7. */
static __always_inline bool read_options(const struct dhcp_frame *frame, __u32 area_len,
					 struct request_options *found)
{
	const __u8 *area = frame->options;
	const void *end = frame->end;

	if (area_len > DHCP_OPTIONS_AREA_MAX)
		return false;
	found->area_len = area_len;
	if (!walk_options(area, end, found))
		return false;
	barrier();

	if (found->walked - found->times[SLOT_PAD] > DHCP_OPTIONS_COUNT_MAX)
		return false;
	if (found->times[SLOT_OVERLOAD])
		return false;
	for (int slot = SLOT_REQUESTED_ADDRESS; slot < SLOT_COUNT; slot++)
		if (found->times[slot] > 1)
			return false;
	return read_values(area, end, found);
}

/* Keep option 61 for the reply, which is written over the request. */
static __always_inline bool save_client_id(const struct dhcp_frame *frame,
					   struct request_options *found)
{
	const __u8 *octet = frame->options;

	octet += 2 + (found->found_at[SLOT_CLIENT_ID] & (DHCP_OPTIONS_AREA_MAX - 1));
	for (int i = 0; i < (int)sizeof(found->client_id) && i < found->client_id_len; i++) {
		if ((const void *)(octet + i + 1) > frame->end)
			return false;
		found->client_id[i] = octet[i];
	}
	return true;
}

#endif
