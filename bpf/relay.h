/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * May this request come through a relay, and through this one, or past it: rules 11 to 14 of
 * docs/replies.md.
 */
#ifndef DHCP_RELAY_H
#define DHCP_RELAY_H

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "maps.h"
#include "notes.h"
#include "options.h"
#include "parse.h"


enum dhcp_sub_option { /* of option 82 */
	SUB_OPTION_CIRCUIT_ID = 1,   /* RFC 3046 3.1 */
	SUB_OPTION_REMOTE_ID = 2,    /* RFC 3046 3.2 */
	SUB_OPTION_DEVICE_CLASS = 4, /* RFC 3256 */
	SUB_OPTION_SUBSCRIBER = 6,   /* RFC 3993 */
	SUB_OPTION_VENDOR = 9,	     /* RFC 4243 */
	SUB_OPTION_FLAGS = 10,	     /* RFC 5010 */
	SUB_OPTION_RELAY_ID = 12,    /* RFC 6925 */
};

/* Bit by code: those that say who and where, and ask for nothing else than a usual reply. */
#define SUB_OPTIONS_KNOWN                                                              \
	(1ULL << SUB_OPTION_CIRCUIT_ID | 1ULL << SUB_OPTION_REMOTE_ID |                    \
	 1ULL << SUB_OPTION_DEVICE_CLASS | 1ULL << SUB_OPTION_SUBSCRIBER |                 \
	 1ULL << SUB_OPTION_VENDOR | 1ULL << SUB_OPTION_FLAGS | 1ULL << SUB_OPTION_RELAY_ID)

/* Each of them once, and the end. */
#define SUB_OPTION_STEPS 8

static __always_inline bool is_allowed(const struct access_port *port, __be32 giaddr)
{
	bool is_listed = false;

#pragma unroll
	for (int i = 0; i < DHCP_MAX_RELAYS; i++)
		is_listed |= READ_ONCE(port->relays_be[i]) == giaddr;
	return is_listed;
}

/* Rule 12 without giaddr: what a client with an address says by unicast, as a router brings it. */
static __always_inline bool is_past_relays(const struct dhcp_frame *frame,
					   const struct request_notes *notes)
{
	__u8 type = notes->message_type;
	__be32 ciaddr = frame->bootp->ciaddr;
	bool is_renewal = type == DHCPREQUEST && !has_option(notes, SLOT_REQUESTED_ADDRESS) &&
			  !has_option(notes, SLOT_SERVER_ID);

	return (is_renewal || type == DHCPRELEASE || type == DHCPINFORM) &&
	       !has_option(notes, SLOT_RELAY_AGENT) && ciaddr && ciaddr == frame->ip->saddr &&
	       frame->ip->daddr != bpf_htonl(0xffffffff);
}

/* Rule 13, over the saved option 82: whole sub-options that are known, each once. */
static __always_inline bool walk_sub_options(struct request_notes *notes)
{
	const __u8 *value = notes->relay_agent.octets + 2;
	__u32 len = READ_ONCE(notes->relay_agent.len) - 2;
	__u64 refused = ~SUB_OPTIONS_KNOWN;
	__u32 at = 0;

	for (int step = 0; step < SUB_OPTION_STEPS && at + 2 <= len; step++) {
		__u32 code = value[at & DHCP_OPTION_VALUE_MAX];

		if (code > SUB_OPTION_RELAY_ID || refused >> code & 1)
			return false;
		refused |= 1ULL << code;
		notes->sub_found_at[code & 15] = at;
		at += 2 + value[(at + 1) & DHCP_OPTION_VALUE_MAX];
	}
	notes->subs_seen = refused & SUB_OPTIONS_KNOWN;
	join_paths();
	return at == len;
}

/* Rule 14: giaddr and circuit id, the line of a port in mode CIRCUIT. */
static __always_inline bool save_circuit(__be32 giaddr, struct request_notes *notes)
{
	const __u8 *value = notes->relay_agent.octets + 2;
	__u32 at = notes->sub_found_at[SUB_OPTION_CIRCUIT_ID];
	__u32 len;

	if (!(notes->subs_seen & 1ULL << SUB_OPTION_CIRCUIT_ID))
		return false;
	len = value[(at + 1) & DHCP_OPTION_VALUE_MAX];
	if (!len || len > DHCP_CIRCUIT_MAX)
		return false;
	__builtin_memset(&notes->circuit, 0, sizeof(notes->circuit));
	notes->circuit.giaddr_be = giaddr;
	notes->circuit.len = len;
	asm volatile("" : "+r"(len)); /* or clang drops the bound that the verifier needs */
	for (__u32 i = 0; i < DHCP_CIRCUIT_MAX && i < len; i += 8)
		*(__u64 *)(notes->circuit.octets + i) =
			*(const __u64 *)(value + ((at + 2 + i) & DHCP_OPTION_VALUE_MAX));
	if (len & 7) /* what was read behind it */
		*(__u64 *)(notes->circuit.octets + (len & 56)) &= (1ULL << (len & 7) * 8) - 1;
	barrier();
	return true;
}

/* Rules 11 and 12: is what stands in giaddr and option 82 from whom the port names? */
static __always_inline __u32 check_speaker(const struct dhcp_frame *frame,
					   const struct access_port *port, __u32 speaker,
					   const struct request_notes *notes)
{
	__be32 giaddr = frame->bootp->giaddr;

	if (speaker == DHCP_RELAYS)
		return (giaddr ? is_allowed(port, giaddr) : is_past_relays(frame, notes)) ?
			       NO_REASON :
			       DHCP_pass_relay_unknown;
	if (giaddr || (speaker != DHCP_ACCESS_NODE && has_option(notes, SLOT_RELAY_AGENT)))
		return DHCP_pass_untrusted_relay;
	return NO_REASON;
}

/* Rules 11 to 14. */
static __always_inline __u32 check_relay(const struct dhcp_frame *frame,
					 const struct access_port *port, __u32 speaker,
					 struct request_notes *notes)
{
	__be32 giaddr = frame->bootp->giaddr;
	__u32 reason = check_speaker(frame, port, speaker, notes);

	if (reason != NO_REASON)
		return reason;
	if (!has_option(notes, SLOT_RELAY_AGENT)) /* nobody says what circuit the client is on */
		return READ_ONCE(notes->key_mode) == DHCP_KEY_CIRCUIT ? DHCP_pass_circuit :
									NO_REASON;
	if (!save_option(frame, notes, SLOT_RELAY_AGENT, &notes->relay_agent))
		return DHCP_pass_options;
	if (!walk_sub_options(notes))
		return DHCP_pass_relayed;
	if (READ_ONCE(notes->key_mode) == DHCP_KEY_CIRCUIT && !save_circuit(giaddr, notes))
		return DHCP_pass_circuit;
	return NO_REASON;
}

#endif
