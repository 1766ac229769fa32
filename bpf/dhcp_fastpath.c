// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * DHCP fast path: answers DISCOVER and REQUEST of known subscribers on the interface itself.
 *
 * Decide first, write after. Every rule of docs/replies.md is checked before the first store;
 * whoever is not answered is passed up, octet for octet as it came, with one counter moved.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "binding.h"
#include "maps.h"
#include "options.h"
#include "parse.h"
#include "reply.h"
#include "tables.h"

/* Rules 2 to 10: a DHCP message that a client sent itself, on one of our ports. */
static __always_inline __u32 read_request(const struct dhcp_frame *frame,
					  const struct access_port *port,
					  struct request_options *found)
{
	__u32 options_len, reason;

	if (!port || !READ_ONCE(port->enabled))
		return DHCP_pass_port_unknown;
	reason = check_headers(frame, &options_len);
	if (reason != NO_REASON)
		return reason;
	if (!read_options(frame, options_len, found))
		return DHCP_pass_options;
	if (found->message_type != DHCPDISCOVER && found->message_type != DHCPREQUEST)
		return DHCP_pass_message_type;
	if (frame->bootp->giaddr || found->times[SLOT_RELAY_AGENT])
		return DHCP_pass_relayed;
	if (!is_from_client_itself(frame))
		return DHCP_pass_source_mac;
	return NO_REASON;
}

/* Rules 11 to 22: a binding that may be answered, and with what. */
static __always_inline __u32 decide(const struct dhcp_frame *frame, __u32 ifindex,
				    const struct request_options *found, struct grant *grant)
{
	__u64 now_boot_ns = bpf_ktime_get_boot_ns();
	__u64 mac_key = mac_of(frame->bootp->chaddr);
	__u64 horizon_boot_ns;
	__u32 reason;

	reason = check_site(now_boot_ns, &horizon_boot_ns);
	if (reason != NO_REASON)
		return reason;
	reason = find_binding(mac_key, ifindex, grant);
	if (reason != NO_REASON)
		return reason;
	if (!find_pool(grant))
		return DHCP_pass_unknown_pool;
	reason = check_addresses(frame, found, grant);
	if (reason != NO_REASON)
		return reason;
	if (!set_times(now_boot_ns, horizon_boot_ns, mac_key, grant))
		return DHCP_pass_horizon;
	if (!set_length(found, grant))
		return DHCP_pass_reply_space;
	return NO_REASON;
}

static __always_inline __u32 judge_and_answer(struct xdp_md *ctx, const struct dhcp_frame *frame)
{
	__u32 ifindex = ctx->ingress_ifindex;
	const struct access_port *port = bpf_map_lookup_elem(&access_ports, &ifindex);
	struct request_options *found = empty_options();
	struct grant grant;
	__u32 reason;

	if (!found)
		return DHCP_pass_options;
	reason = read_request(frame, port, found);
	if (reason != NO_REASON)
		return reason;
	reason = decide(frame, ifindex, found, &grant);
	if (reason != NO_REASON)
		return reason;
	if (!save_client_id(frame, found))
		return DHCP_pass_options;

	/* I2: the promise first; one that no ACK follows errs on the safe side. */
	if (found->message_type == DHCPREQUEST && !raise_promise(&grant))
		return DHCP_pass_promise;
	if (!resize(ctx, grant.bootp_len) || !write_reply(ctx, port->mac, found, &grant))
		return DHCP_pass_reply_space;
	return found->message_type == DHCPREQUEST ? DHCP_ack : DHCP_offer;
}

SEC("xdp")
int dhcp_fastpath(struct xdp_md *ctx)
{
	struct dhcp_frame frame = frame_of(ctx);
	__u32 verdict;

	if (!is_to_dhcp_server(&frame))
		return XDP_PASS;

	verdict = judge_and_answer(ctx, &frame);
	count(verdict);
	return verdict == DHCP_offer || verdict == DHCP_ack ? XDP_TX : XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
