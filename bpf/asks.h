/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the agent is asked to ask the allocator for: "Asks" of docs/replies.md. The frame goes with
 * it, to be answered when the allocator has decided.
 */
#ifndef DHCP_ASKS_H
#define DHCP_ASKS_H

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "maps.h"
#include "notes.h"
#include "notices.h"
#include "options.h"
#include "parse.h"
#include "tables.h"

/* Where the frame has its host name; false if there are parts of one (RFC 3396). */
static __always_inline bool note_host_name(const struct dhcp_frame *frame, const void *start,
					   struct request_notes *notes)
{
	const __u8 *option = frame->options;

	notes->ask.host_len = 0;
	if (!has_option(notes, SLOT_HOST_NAME))
		return true;
	option += notes->found_at[SLOT_HOST_NAME] & (DHCP_OPTIONS_AREA_MAX - 1);
	if (READ_ONCE(notes->seen) & 1ULL << (SEEN_AGAIN + SLOT_HOST_NAME) ||
	    (const void *)(option + 2) > frame->end)
		return false;
	notes->ask.host_at = (const void *)option - start + 2;
	notes->ask.host_len = option[1];
	return true;
}

/* By words, then by octets: a helper that copies any length is not in every kernel. */
static __always_inline void copy_frame(const void *from, const void *end, struct ask *ask)
{
	__u8 *to = ask->frame, *behind = to + DHCP_ASK_FRAME_MAX;

	for (; from + 8 <= end && to + 8 <= behind; from += 8, to += 8)
		*(__u64 *)to = *(const __u64 *)from;
	for (; from + 1 <= end && to + 1 <= behind; from++, to++)
		*to = *(const __u8 *)from;
}

/*
 * Give the agent a REQUEST that was read; 0 = it does not fit, so it has to be passed up. A
 * function of its own, which the verifier looks at once.
 */
__noinline int hand_over(struct xdp_md *ctx)
{
	__u32 len = ctx->data_end - ctx->data;
	const void *start = (const void *)(long)ctx->data;
	struct request_notes *notes = notes_so_far();
	struct dhcp_frame frame;
	struct ask *ask;

	if (!notes || len > DHCP_ASK_FRAME_MAX)
		return 0;
	frame = frame_of(ctx, notes);
	if ((const void *)(frame.bootp + 1) > frame.end || !note_host_name(&frame, start, notes))
		return 0;
	ask = &notes->ask;
	ask->at_boot_ns = bpf_ktime_get_boot_ns();
	ask->mac = bpf_be64_to_cpu(READ_ONCE(notes->mac)) >> 16;
	ask->ip = bpf_ntohl(notes->requested_be);
	ask->server = bpf_ntohl(notes->server_be);
	ask->link = bpf_ntohl(frame.bootp->giaddr);
	ask->ifindex = ctx->ingress_ifindex;
	ask->s_vlan = notes->place.s_vlan;
	ask->c_vlan = notes->place.c_vlan;
	ask->len = len;
	ask->circuit = notes->circuit;
	copy_frame(start, frame.end, ask);
	return !bpf_ringbuf_output(&asks, ask, sizeof(*ask), 0);
}

#endif
