/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * May this client be answered, with what, and for how long: rules 17 to 29 of docs/replies.md.
 */
#ifndef DHCP_BINDING_H
#define DHCP_BINDING_H

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "hash.h"
#include "maps.h"
#include "notes.h"
#include "options.h"
#include "parameters.h"
#include "parse.h"
#include "tables.h"

#define NS_PER_S 1000000000ULL
#define IP_LEN_ACCEPTED 576 /* octets that every client must accept, RFC 2131 2 */

/* Everything that the reply needs and that is not in the frame; no times for a NAK. */
struct grant {
	struct pool_assignment binding;
	const struct ip_pool *pool;
	__u32 always_len;  /* of the pool's options, rule 23 checked */
	__u32 options_len; /* of the pool's, or of those that are chosen of them */
	__u32 bootp_len;
	__u32 lease_s;
	__u32 t1_s;
	__u32 t2_s;
	__u64 end_boot_ns; /* of the promise */
	struct promise before; /* the promise that stood */
};

/* What the site may promise now, whether it may say what it will not, and its tables. */
struct horizon {
	__u64 now_boot_ns;
	__u64 end_boot_ns; /* E */
	__u64 current_until_boot_ns;
	__u64 pools_version;
	__u64 slot_groups;
};

/* Rules 17 to 19: may this site answer now? */
static __always_inline __u32 check_site(struct horizon *horizon)
{
	__u64 now_boot_ns = horizon->now_boot_ns;
	__u32 key = 0;
	const struct site_state *site = bpf_map_lookup_elem(&site_state, &key);
	__u64 touched_boot_ns;

	if (!site || READ_ONCE(site->abi_magic) != DHCP_ABI_MAGIC)
		return DHCP_pass_abi;
	if (READ_ONCE(site->gate) != 1)
		return DHCP_pass_gate_closed;

	/* The agent may have touched it after `now` was read. */
	touched_boot_ns = READ_ONCE(site->touched_boot_ns);
	if (now_boot_ns > touched_boot_ns && now_boot_ns - touched_boot_ns > DHCP_DEAD_MAN_NS)
		return DHCP_pass_agent_silent;

	horizon->end_boot_ns = READ_ONCE(site->horizon_boot_ns);
	horizon->current_until_boot_ns = READ_ONCE(site->current_until_boot_ns);
	horizon->pools_version = READ_ONCE(site->pools_version);
	horizon->slot_groups = READ_ONCE(site->slot_groups);
	return NO_REASON;
}

/* Who asks, and where. */
struct asker {
	__u64 mac;
	__u64 key; /* of subscriber_pools */
	__u32 ifindex;
	__u32 key_mode;
};

static __always_inline void set_key(const struct request_notes *notes, struct asker *asker)
{
	asker->key = asker->mac;
	if (asker->key_mode == DHCP_KEY_LINE)
		asker->key = dhcp_line_key(asker->mac, asker->ifindex, notes->place.s_vlan,
					   notes->place.c_vlan);
	else if (asker->key_mode == DHCP_KEY_CIRCUIT)
		asker->key = dhcp_circuit_key(asker->mac, asker->ifindex, &notes->circuit);
}

/* The circuit of a binding, octet for octet: a key only says that it may be this one. */
static __always_inline bool is_own_circuit(__u32 slot, const struct request_notes *notes)
{
	const struct circuit *own = bpf_map_lookup_elem(&circuits, &slot);
	const __u64 *ours, *theirs;
	__u64 difference;

	if (!own)
		return false;
	ours = (const __u64 *)own;
	theirs = (const __u64 *)&notes->circuit;
	difference = 0;
#pragma unroll
	for (__u32 i = 0; i < sizeof(*own) / 8; i++)
		difference |= ours[i] ^ theirs[i];
	return !difference;
}

/* Rule 22: the binding is this client's, on the line that it belongs to (I8). */
static __always_inline bool is_own_binding(const struct pool_assignment *copy,
					   const struct asker *asker,
					   const struct request_notes *notes)
{
	const struct frame_place *place = &notes->place;

	if (mac_of(copy->mac) != asker->mac || copy->ifindex != asker->ifindex)
		return false;
	if (asker->key_mode == DHCP_KEY_CIRCUIT) /* VLANs are no part of the line then */
		return !copy->s_vlan && !copy->c_vlan && is_own_circuit(copy->slot, notes);
	return copy->s_vlan == place->s_vlan && copy->c_vlan == place->c_vlan;
}

/* Rules 20 to 22. */
static __always_inline __u32 find_binding(const struct asker *asker,
					  const struct request_notes *notes,
					  struct pool_assignment *copy)
{
	const struct pool_assignment *value = bpf_map_lookup_elem(&subscriber_pools, &asker->key);

	if (!value)
		return DHCP_pass_unknown_client;
	*copy = *value;
	/* The value may turn into another subscriber's now: the copy must not be read anew. */
	barrier();

	if (copy->check != dhcp_check_word(asker->key, copy))
		return DHCP_pass_check_word;
	return is_own_binding(copy, asker, notes) ? NO_REASON : DHCP_pass_other_line;
}

/* Keep a copy of a pool; 0 = there is none. A function of its own: it is seldom called. */
__noinline int know_pool(__u32 id, __u64 version)
{
	struct request_notes *notes = notes_so_far();
	const struct ip_pool *pool = bpf_map_lookup_elem(&ip_pools, &id);
	struct known_pool *known;

	if (!notes || !pool)
		return 0;
	known = &notes->pools[id & (KNOWN_POOLS - 1)];
#pragma unroll
	for (__u32 i = 0; i < sizeof(*pool) / 8; i++)
		((__u64 *)&known->pool)[i] = ((const __u64 *)pool)[i];
	known->options_sum = sum_words(known->pool.options, OPTIONS_LEN_MIN);
	known->id = id;
	known->version = version;
	return 1;
}

/*
 * Rule 23. A look into ip_pools takes a tenth of an answer's time, and a site has few pools: so
 * each processor keeps copies, and looks again when the agent has written any.
 */
static __always_inline bool find_pool(const struct horizon *horizon, struct request_notes *notes,
				      struct grant *grant)
{
	__u32 id = grant->binding.pool_id;
	struct known_pool *known = &notes->pools[id & (KNOWN_POOLS - 1)];

	asm volatile("" : "+r"(known)); /* or clang computes it anew wherever it is used */
	if ((READ_ONCE(known->version) != horizon->pools_version || READ_ONCE(known->id) != id) &&
	    !know_pool(id, horizon->pools_version))
		return false;
	notes->options_sum = READ_ONCE(known->options_sum);
	join_paths();
	grant->pool = &known->pool;
	grant->options_len = READ_ONCE(grant->pool->options_len);
	grant->always_len = READ_ONCE(grant->pool->always_len);
	return grant->always_len >= DHCP_OPT_FIXED_LEN &&
	       grant->always_len <= grant->options_len &&
	       grant->options_len <= DHCP_POOL_OPTIONS_MAX;
}

/* Rules 24 to 26: is it us, and the binding, that the client means? RFC 2131 4.3.2. */
static __always_inline __u32 check_addresses(const struct dhcp_frame *frame,
					     const struct request_notes *notes,
					     const struct grant *grant)
{
	__be32 server_be = grant->pool->server_id_be;
	__be32 bound_be = grant->binding.ip_be;

	if (frame->ip->daddr != bpf_htonl(0xffffffff) && frame->ip->daddr != server_be)
		return DHCP_pass_not_addressed;
	if (has_option(notes, SLOT_SERVER_ID) && notes->server_be != server_be)
		return DHCP_pass_other_server;

	if (notes->message_type == DHCPDISCOVER)
		return NO_REASON;
	if (notes->message_type == DHCPINFORM) /* which asks for no address, 4.4.3 */
		return !has_option(notes, SLOT_REQUESTED_ADDRESS) && frame->bootp->ciaddr == bound_be ?
			       NO_REASON :
			       DHCP_pass_other_address;
	if (has_option(notes, SLOT_REQUESTED_ADDRESS)) { /* SELECTING or INIT-REBOOT */
		if (frame->bootp->ciaddr || notes->requested_be != bound_be)
			return DHCP_pass_other_address;
	} else { /* RENEWING or REBINDING, which name no server */
		if (has_option(notes, SLOT_SERVER_ID) || frame->bootp->ciaddr != bound_be)
			return DHCP_pass_other_address;
	}
	return NO_REASON;
}

/* What a REQUEST names as one of the states does, RFC 2131 4.3.2; 0 = nothing. */
static __always_inline __be32 claimed_address(const struct dhcp_frame *frame,
					      const struct request_notes *notes)
{
	if (has_option(notes, SLOT_REQUESTED_ADDRESS))
		return frame->bootp->ciaddr ? 0 : notes->requested_be;
	return has_option(notes, SLOT_SERVER_ID) ? 0 : frame->bootp->ciaddr;
}

/*
 * "NAK" of docs/replies.md, of a request that fails rule 26 alone: the client is bound here, and
 * asks for another address of our own network. Behind a router nobody would hear the broadcast.
 */
static __always_inline bool may_refuse(const struct dhcp_frame *frame,
				       const struct request_notes *notes,
				       const struct horizon *horizon, const struct ip_pool *pool)
{
	__be32 claimed = claimed_address(frame, notes);

	return notes->message_type == DHCPREQUEST && claimed &&
	       (claimed & pool->netmask_be) == pool->network_be &&
	       horizon->current_until_boot_ns > horizon->now_boot_ns &&
	       horizon->end_boot_ns > horizon->now_boot_ns &&
	       (frame->bootp->giaddr || mac_of(frame->eth->h_source) == notes->mac);
}

/* Rules 24 to 26: with what a request is answered, in `notes->reply`, if it is. */
static __always_inline __u32 choose_reply(const struct dhcp_frame *frame,
					  const struct horizon *horizon,
					  const struct grant *grant, struct request_notes *notes)
{
	__u32 reason = check_addresses(frame, notes, grant);
	__u32 reply = DHCP_offer;

	if (reason == DHCP_pass_other_address && may_refuse(frame, notes, horizon, grant->pool))
		reply = DHCP_nak;
	else if (reason != NO_REASON)
		return reason;
	else if (notes->message_type == DHCPREQUEST)
		reply = DHCP_ack;
	else if (notes->message_type == DHCPINFORM)
		reply = DHCP_inform_ack;
	notes->reply = reply;
	barrier();
	return NO_REASON;
}

/* Rule 27: g = min(L, E - now) in whole seconds, T1 spread by `mixed` key. I6: no promise beyond E. */
static __always_inline bool set_times(const struct horizon *horizon, __u64 mixed,
				      struct grant *grant)
{
	__u64 now_boot_ns = horizon->now_boot_ns;
	__u64 horizon_boot_ns = horizon->end_boot_ns;
	__u64 lease_s, left_ns, tenth_s;

	if (horizon_boot_ns <= now_boot_ns)
		return false;
	lease_s = READ_ONCE(grant->pool->lease_time_s);
	left_ns = horizon_boot_ns - now_boot_ns;
	if (left_ns < lease_s * NS_PER_S) /* a division takes long */
		lease_s = left_ns / NS_PER_S;
	if (lease_s < DHCP_MIN_GRANT_S)
		return false;

	grant->lease_s = lease_s;
	tenth_s = lease_s * 0xcccccccd >> 35; /* of a number of 32 bits */
	grant->t1_s = lease_s / 2 - tenth_s / 2 + ((mixed & 0xffffffff) * tenth_s >> 32);
	grant->t2_s = lease_s * 7 / 8;
	grant->end_boot_ns = now_boot_ns + lease_s * NS_PER_S;
	return true;
}

/* Octets of the pool's options that every reply of this kind has. */
static __always_inline __u32 base_len(const struct request_notes *notes,
				      const struct grant *grant)
{
	__u32 reply = READ_ONCE(notes->reply);

	if (reply == DHCP_nak)
		return DHCP_OPT_AT_TIMES;
	return reply == DHCP_inform_ack ?
		       grant->always_len - (DHCP_OPT_FIXED_LEN - DHCP_OPT_AT_TIMES) :
		       grant->always_len;
}

/*
 * Rule 28, as far as it can be told before the frame is resized, and which of the pool's options
 * on request the client is sent.
 */
static __always_inline bool set_options(const struct dhcp_frame *frame,
					struct request_notes *notes, struct grant *grant)
{
	__u32 accepted = notes->max_size > IP_LEN_ACCEPTED ? notes->max_size : IP_LEN_ACCEPTED;
	__u32 room = (accepted - HEADERS_TOTAL) & ~3u;
	__u32 last = notes->client_id.len + notes->relay_agent.len + 1; /* END */
	__u32 base = base_len(notes, grant);
	__u32 len;

	if (base + last > room)
		return false;
	if (grant->options_len != base) {
		note_parameters(frame, notes);
		choose_options(grant->pool, base, room - base - last, notes);
		grant->options_len = notes->chosen.len;
	}
	len = sizeof(struct bootp) + ((grant->options_len + last + 3) & ~3u);
	grant->bootp_len = len < BOOTP_LEN_MIN ? BOOTP_LEN_MIN : len;
	return true;
}

/*
 * Reach for the promise of a `mixed` key while nobody knows yet where it stands: most stand in
 * one of two places. So both waits for memory, for it and for the binding, are one.
 */
static __always_inline void reach_for_promise(const struct horizon *horizon, __u64 mixed)
{
#pragma unroll
	for (int i = 0; i < 2; i++, mixed >>= 32) {
		__u64 group = (mixed & 0xffffffff) * horizon->slot_groups >> 32;
		__u32 slot = group * DHCP_SLOTS_PER_GROUP;
		const struct promise *promise = bpf_map_lookup_elem(&promises, &slot);

		if (promise)
			(void)READ_ONCE(promise->kernel_boot_ns);
	}
}

/*
 * The promise that stands; it stays 0 where there is no such slot. Read as soon as the slot is
 * known and long before it is needed: of a million slots hardly one is in the processor's caches.
 */
static __always_inline void read_promise(struct grant *grant)
{
	__u32 slot = grant->binding.slot;
	const struct promise *promise = bpf_map_lookup_elem(&promises, &slot);

	if (!promise)
		return;
	grant->before.kernel_boot_ns = READ_ONCE(promise->kernel_boot_ns);
	grant->before.agent_boot_ns = READ_ONCE(promise->agent_boot_ns);
}

/* Rule 29: P is raised before the ACK leaves. One try: whoever else moved it is a doubt (I9). */
static __always_inline bool raise_promise(const struct grant *grant)
{
	__u64 before = grant->before.kernel_boot_ns;
	__u32 slot = grant->binding.slot;
	struct promise *promise = bpf_map_lookup_elem(&promises, &slot);

	if (!promise)
		return false;
	if (before >= grant->end_boot_ns)
		return true;
	return __sync_val_compare_and_swap(&promise->kernel_boot_ns, before,
					   grant->end_boot_ns) == before;
}

#endif
