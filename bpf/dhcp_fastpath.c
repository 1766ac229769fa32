// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * DHCP fast path: answers DISCOVER, REQUEST and INFORM of known subscribers on the interface itself,
 * and offers strangers what was set aside for them.
 *
 * Decide first, write after. Every rule of docs/replies.md is checked before the first store to
 * the frame; whoever is not answered is passed up, octet for octet as it came, with one counter moved,
 * unless there are too many.
 */
#include <stdbool.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "asks.h"
#include "binding.h"
#include "checksum.h"
#include "maps.h"
#include "notes.h"
#include "notices.h"
#include "options.h"
#include "parse.h"
#include "protection.h"
#include "relay.h"
#include "reply.h"
#include "stock.h"
#include "tables.h"

/* Rules 2 to 16: a DHCP message of a client or of a relay of ours, on one of our ports. */
static __always_inline __u32 read_request(const struct dhcp_frame *frame,
					  const struct access_port *port,
					  struct request_notes *notes)
{
	__u32 options_len, reason, speaker;

	if (!port || !READ_ONCE(port->enabled))
		return DHCP_pass_port_unknown;
	notes->key_mode = READ_ONCE(port->key_mode);
	notes->offers_stock = READ_ONCE(port->offers_stock);
	if (!has_sound_tags(&notes->place))
		return DHCP_pass_vlan_tags;
	reason = check_headers(frame, &options_len);
	if (reason != NO_REASON)
		return reason;
	if (ip_checksum(frame))
		return DHCP_pass_checksum;
	if (!is_bootp_request(frame->bootp))
		return DHCP_pass_bootp_header;
	if (!read_options(frame, options_len, notes))
		return DHCP_pass_options;
	notes->mac = mac_of(frame->bootp->chaddr);
	if (!is_to_port(frame, port))
		return DHCP_pass_ethernet;
	speaker = READ_ONCE(port->speaker); /* once: the agent may change it meanwhile */
	reason = check_relay(frame, port, speaker, notes);
	if (reason != NO_REASON)
		return reason;
	if (!is_sender_sound(frame, speaker == DHCP_RELAYS))
		return DHCP_pass_source_mac;
	notes->is_trusted = true;
	if (notes->message_type != DHCPDISCOVER && notes->message_type != DHCPREQUEST &&
	    notes->message_type != DHCPINFORM)
		return DHCP_pass_message_type;
	return NO_REASON;
}

/* Rules 17 to 28: a binding, or what a stranger is offered, that may be answered, and with what. */
static __always_inline __u32 decide(struct xdp_md *ctx, const struct dhcp_frame *frame,
				    struct horizon *horizon, struct asker *asker,
				    struct request_notes *notes, struct grant *grant)
{
	__u32 reason;
	__u64 mixed;

	/*
	 * E before the entry: an entry newer than E gets a shorter promise than it might. The other
	 * way round one could be promised up to an E that was granted after its removal.
	 */
	reason = check_site(horizon);
	if (reason != NO_REASON)
		return reason;
	set_key(notes, asker);
	mixed = mix64(asker->key);
	if (notes->message_type == DHCPREQUEST)
		reach_for_promise(horizon, mixed);
	reason = find_binding(asker, notes, &grant->binding);
	if (reason == DHCP_pass_unknown_client)
		reason = bind_stranger(ctx, frame, horizon, asker, notes, &grant->binding);
	if (reason != NO_REASON)
		return reason;
	if (notes->message_type == DHCPREQUEST)
		read_promise(grant);
	if (!find_pool(horizon, notes, grant))
		return DHCP_pass_unknown_pool;
	reason = choose_reply(frame, horizon, grant, notes);
	if (reason != NO_REASON)
		return reason;
	if (READ_ONCE(notes->reply) != DHCP_nak && !set_times(horizon, mixed, grant))
		return DHCP_pass_horizon;
	if (!set_options(frame, notes, grant))
		return DHCP_pass_reply_space;
	return NO_REASON;
}

static __always_inline __u32 judge_and_answer(struct xdp_md *ctx, const struct frame_place *place)
{
	__u32 ifindex = ctx->ingress_ifindex;
	const struct access_port *port = bpf_map_lookup_elem(&access_ports, &ifindex);
	struct request_notes *notes = new_notes(place);
	/* First: who reads the clock waits for every read before. */
	struct horizon horizon = { .now_boot_ns = bpf_ktime_get_boot_ns() };
	struct asker asker = { .ifindex = ifindex };
	struct dhcp_frame frame;
	struct grant grant = {};
	__u32 reason;

	if (!notes)
		return DHCP_pass_options;
	frame = frame_of(ctx, notes);
	reason = read_request(&frame, port, notes);
	if (reason != NO_REASON)
		return reason;
	asker.mac = notes->mac;
	asker.key_mode = notes->key_mode;
	reason = decide(ctx, &frame, &horizon, &asker, notes, &grant);
	if (reason != NO_REASON)
		return reason;
	if (!save_option(&frame, notes, SLOT_CLIENT_ID, &notes->client_id))
		return DHCP_pass_options;

	/* I2: the promise first; one that no ACK follows errs on the safe side. */
	if (READ_ONCE(notes->reply) == DHCP_ack && !raise_promise(&grant))
		return DHCP_pass_promise;
	if (!resize(ctx, notes, grant.bootp_len) || !write_reply(ctx, port->mac, notes, &grant))
		return DHCP_pass_reply_space;
	if (READ_ONCE(notes->reply) == DHCP_ack)
		tell_of_ack(ctx, &grant);
	return READ_ONCE(notes->reply);
}

static __always_inline bool is_answer(__u32 verdict)
{
	return verdict == DHCP_offer || verdict == DHCP_ack || verdict == DHCP_inform_ack ||
	       verdict == DHCP_nak;
}

/* The agent has it already, or nobody shall. */
static __always_inline bool is_kept(__u32 verdict)
{
	return verdict == DHCP_asked || verdict == DHCP_drop_line_rate ||
	       verdict == DHCP_drop_mac_rate;
}

SEC("xdp")
int dhcp_fastpath(struct xdp_md *ctx)
{
	struct frame_place place;
	__u32 verdict;

	if (!is_to_dhcp_server(ctx, &place))
		return XDP_PASS;

	verdict = judge_and_answer(ctx, &place);
	if (is_answer(verdict)) {
		count(verdict);
		return XDP_TX;
	}
	verdict = protect(ctx, verdict);
	if (verdict == DHCP_asked && !hand_over(ctx))
		verdict = DHCP_pass_unknown_client;
	count(verdict);
	tell_of_suspect(ctx, verdict);
	return is_kept(verdict) ? XDP_DROP : XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
