/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What a stranger is offered: "Stock" of docs/replies.md. An offer promises nothing (RFC 2131
 * 3.1), so no safety depends on this; edge_agent/datapath/stock.py does the same.
 */
#ifndef DHCP_STOCK_H
#define DHCP_STOCK_H

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "binding.h"
#include "hash.h"
#include "maps.h"
#include "notes.h"
#include "options.h"
#include "parse.h"
#include "tables.h"

#define KNOWN_SPREAD 0x9e3779b97f4a7c15ULL /* 2^64 divided by the golden ratio */
#define STOCK_GROUPS (DHCP_STOCK_SIZE / DHCP_STOCK_PER_GROUP)

/* Was nothing of this MAC ever written into the tables? Yes is certain. */
static __always_inline bool is_stranger(__u64 mac)
{
	__u64 number = bpf_be64_to_cpu(mac) >> 16;
	__u64 place = number * KNOWN_SPREAD >> (64 - DHCP_KNOWN_BITS);
	__u32 word = place / 64;
	const __u64 *known = bpf_map_lookup_elem(&known_macs, &word);

	return known && !(READ_ONCE(*known) >> place % 64 & 1);
}

/*
 * The address and the pool that a group offers to `owner`, made `key`'s; 0 = none. Of two who want
 * one place the compare-and-swap lets one have it. The agent ends a place before it writes another
 * address there, so one whose time and key still stand was read whole.
 */
static __always_inline __u64 take_from_group(__u32 first, __u64 owner, __u64 key, __be32 link_be,
					     __u64 now_boot_ns)
{
#pragma unroll
	for (__u32 i = 0; i < DHCP_STOCK_PER_GROUP; i++) {
		__u32 index = first + i;
		struct stocked *place = bpf_map_lookup_elem(&stock, &index);
		__u64 until_boot_ns, address;

		if (!place)
			continue;
		until_boot_ns = READ_ONCE(place->until_boot_ns);
		if (until_boot_ns <= now_boot_ns || READ_ONCE(place->link_be) != link_be ||
		    READ_ONCE(place->key) != owner ||
		    __sync_val_compare_and_swap(&place->key, owner, key) != owner)
			continue;
		address = READ_ONCE(*(const __u64 *)&place->ip_be);
		if (READ_ONCE(place->key) == key &&
		    READ_ONCE(place->until_boot_ns) == until_boot_ns)
			return address;
	}
	return 0;
}

/* Where the stock has what is offered to a key: the first place of a group, or none at all. */
static __always_inline bool find_group(__u64 key, __u64 mac, __u32 *first)
{
	__u32 zero = 0;
	const struct site_state *site = bpf_map_lookup_elem(&site_state, &zero);
	__u64 groups = site ? READ_ONCE(site->stock_groups) : 0;

	*first = ((mix64(key) >> 32) * groups >> 32) * DHCP_STOCK_PER_GROUP;
	return groups && groups <= STOCK_GROUPS && is_stranger(mac);
}

/* `ip_be` and `pool_id << 32` for a stranger, its former ones if there are; 0 = none. */
__noinline __u64 take_from_stock(__u64 key, __u64 mac, __be32 link_be, __u64 now_boot_ns)
{
	__u64 address;
	__u32 first;

	if (!find_group(key, mac, &first))
		return 0;
	address = take_from_group(first, key, key, link_be, now_boot_ns);
	return address ? address : take_from_group(first, 0, key, link_be, now_boot_ns);
}

/* Is `ip_be` what a stranger was offered, by this server? */
static __always_inline bool was_offered(__u64 key, const struct request_notes *notes,
					__be32 link_be, __u64 now_boot_ns)
{
	const struct ip_pool *pool;
	__u32 first, pool_id;
	__u64 address;

	if (!find_group(key, notes->mac, &first))
		return false;
	address = take_from_group(first, key, key, link_be, now_boot_ns);
	pool_id = address >> 32;
	pool = bpf_map_lookup_elem(&ip_pools, &pool_id);
	return pool && (__be32)address == notes->requested_be &&
	       pool->server_id_be == notes->server_be;
}

/*
 * Does the REQUEST of a stranger take what he was offered (SELECTING, RFC 2131 4.3.2)? A function of
 * its own, which the verifier looks at once.
 */
__noinline int takes_offer(struct xdp_md *ctx, __u64 key, __u64 now_boot_ns)
{
	const struct request_notes *notes = notes_so_far();
	struct dhcp_frame frame;

	if (!notes)
		return 0;
	frame = frame_of(ctx, notes);
	if ((const void *)(frame.bootp + 1) > frame.end)
		return 0;
	if (!has_option(notes, SLOT_REQUESTED_ADDRESS) || !has_option(notes, SLOT_SERVER_ID) ||
	    !notes->requested_be || frame.bootp->ciaddr)
		return 0;
	if (frame.ip->daddr != bpf_htonl(0xffffffff) && frame.ip->daddr != notes->server_be)
		return 0;
	return was_offered(key, notes, frame.bootp->giaddr, now_boot_ns);
}

/* A binding for who has none, of which an OFFER tells address and pool. */
static __always_inline __u32 bind_stranger(struct xdp_md *ctx, const struct dhcp_frame *frame,
					   const struct horizon *horizon,
					   const struct asker *asker,
					   const struct request_notes *notes,
					   struct pool_assignment *binding)
{
	__u64 address;

	if (!READ_ONCE(notes->offers_stock) ||
	    horizon->current_until_boot_ns <= horizon->now_boot_ns)
		return DHCP_pass_unknown_client;
	if (notes->message_type == DHCPREQUEST)
		return takes_offer(ctx, asker->key, horizon->now_boot_ns) ?
			       DHCP_asked :
			       DHCP_pass_unknown_client;
	if (notes->message_type != DHCPDISCOVER || has_option(notes, SLOT_REQUESTED_ADDRESS) ||
	    has_option(notes, SLOT_SERVER_ID))
		return DHCP_pass_unknown_client;
	address = take_from_stock(asker->key, asker->mac, frame->bootp->giaddr,
				  horizon->now_boot_ns);
	if (!address)
		return DHCP_pass_unknown_client;
	binding->ip_be = address;
	binding->pool_id = address >> 32;
	return NO_REASON;
}

#endif
