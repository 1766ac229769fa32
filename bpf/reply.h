/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The reply, written over the request: "Reply" in docs/replies.md. Nothing here decides.
 */
#ifndef DHCP_REPLY_H
#define DHCP_REPLY_H

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "binding.h"
#include "checksum.h"
#include "maps.h"
#include "options.h"
#include "parse.h"

#define REPLY_TTL 64
#define OPTIONS_WORDS_MAX ((BOOTP_LEN_MAX - sizeof(struct bootp)) / 4)
#define OPTIONS_LEN_MIN (BOOTP_LEN_MIN - sizeof(struct bootp))

/* Make the frame as long as the reply. A frame that could not be resized is unchanged. */
static __always_inline bool resize(struct xdp_md *ctx, __u32 bootp_len)
{
	int len = sizeof(struct dhcp_frame) - sizeof(struct bootp) + bootp_len;
	int change = len - (int)(ctx->data_end - ctx->data);

	return !change || !bpf_xdp_adjust_tail(ctx, change);
}

/* RFC 2131 4.1: a renewing client has its address, others may or may not hear unicast. */
static __always_inline void write_delivery(struct dhcp_frame *frame, const __u8 *port_mac,
					   __be32 yiaddr, bool is_ack)
{
	bool to_all = frame->bootp.flags & bpf_htons(BOOTP_FLAG_BROADCAST);

	if (is_ack && frame->bootp.ciaddr) {
		frame->ip.daddr = frame->bootp.ciaddr;
		to_all = false;
	} else {
		frame->ip.daddr = to_all ? bpf_htonl(0xffffffff) : yiaddr;
	}
	if (to_all)
		__builtin_memset(frame->eth.h_dest, 0xff, ETH_ALEN);
	else
		__builtin_memcpy(frame->eth.h_dest, frame->bootp.chaddr, ETH_ALEN);
	__builtin_memcpy(frame->eth.h_source, port_mac, ETH_ALEN);
}

static __always_inline void write_bootp(struct bootp *bootp, __be32 yiaddr, bool is_ack)
{
	bootp->op = BOOTP_REPLY;
	bootp->hops = 0;
	bootp->secs = 0;
	if (!is_ack)
		bootp->ciaddr = 0;
	bootp->yiaddr = yiaddr;
	bootp->siaddr = 0;
	__builtin_memset(bootp->sname, 0, sizeof(bootp->sname));
	__builtin_memset(bootp->file, 0, sizeof(bootp->file));
}

/* The pool's options and zeros behind them, to the end of the frame. */
static __always_inline void write_pool_options(__u8 *options, const void *end,
					       const struct ip_pool *pool)
{
	const struct four_octets *from = (const void *)pool->options;
	struct four_octets *to = (void *)options;

	for (int i = 0; i < (int)OPTIONS_WORDS_MAX; i++, to++) {
		if ((const void *)(to + 1) > end)
			break;
		to->word = i < DHCP_POOL_OPTIONS_MAX / 4 ? from[i].word : 0;
	}
}

static __always_inline void write_number(__u8 *at, __u32 number)
{
	((struct four_octets *)at)->word = bpf_htonl(number);
}

/* Option 61 as received (RFC 6842) and END behind the pool's options. */
static __always_inline void write_last_options(__u8 *options, const void *end,
					       const struct request_options *found,
					       __u32 options_len)
{
	__u32 len = found->client_id_len;
	__u8 *at = options;

	if (options_len > DHCP_POOL_OPTIONS_MAX)
		return;
	at += options_len;
	if (len) {
		if ((const void *)(at + 2) > end)
			return;
		at[0] = OPTION_CLIENT_ID;
		at[1] = len;
		at += 2;
		for (int i = 0; i < (int)sizeof(found->client_id) && i < (int)len; i++, at++) {
			if ((const void *)(at + 1) > end)
				return;
			*at = found->client_id[i];
		}
	}
	if ((const void *)(at + 1) > end)
		return;
	*at = OPTION_END;
}

static __always_inline __u64 sum_options(const __u8 *options, const void *end)
{
	const struct four_octets *at = (const void *)options;
	__u64 sum = 0;

	for (int i = 0; i < (int)OPTIONS_WORDS_MAX; i++, at++) {
		if ((const void *)(at + 1) > end)
			break;
		sum += at->word;
	}
	return sum;
}

static __always_inline void write_ip_udp(struct dhcp_frame *frame, __be32 server_be,
					 __u32 bootp_len)
{
	__u32 udp_len = sizeof(struct udphdr) + bootp_len;

	frame->ip.tos = 0;
	frame->ip.tot_len = bpf_htons(IP_HEADER_LEN + udp_len);
	frame->ip.id = 0;
	frame->ip.frag_off = 0;
	frame->ip.ttl = REPLY_TTL;
	frame->ip.saddr = server_be;
	frame->ip.check = 0;
	frame->ip.check = ip_checksum(frame);
	frame->udp.source = bpf_htons(DHCP_SERVER_PORT);
	frame->udp.dest = bpf_htons(DHCP_CLIENT_PORT);
	frame->udp.len = bpf_htons(udp_len);
	frame->udp.check = 0;
}

/* Write the whole reply into a frame of its length. */
static __always_inline bool write_reply(const struct xdp_md *ctx, const __u8 *port_mac,
					const struct request_options *found,
					const struct grant *grant)
{
	struct dhcp_frame *frame = (void *)(long)ctx->data;
	const void *end = (void *)(long)ctx->data_end;
	__u8 *options = (void *)(frame + 1);
	bool is_ack = found->message_type == DHCPREQUEST;

	/* Never true behind resize(); the verifier has forgotten the length. */
	if ((const void *)(options + OPTIONS_LEN_MIN) > end)
		return false;

	write_delivery(frame, port_mac, grant->binding.ip_be, is_ack);
	write_bootp(&frame->bootp, grant->binding.ip_be, is_ack);

	write_pool_options(options, end, grant->pool);
	options[DHCP_OPT_AT_TYPE] = is_ack ? DHCPACK : DHCPOFFER;
	write_number(options + DHCP_OPT_AT_LEASE, grant->lease_s);
	write_number(options + DHCP_OPT_AT_T1, grant->t1_s);
	write_number(options + DHCP_OPT_AT_T2, grant->t2_s);
	write_last_options(options, end, found, grant->options_len);

	write_ip_udp(frame, grant->pool->server_id_be, grant->bootp_len);
	frame->udp.check = udp_checksum(frame, sum_options(options, end));
	return true;
}

#endif
