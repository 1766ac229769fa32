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
	int change = HEADERS_LEN + bootp_len - (int)(ctx->data_end - ctx->data);

	return !change || !bpf_xdp_adjust_tail(ctx, change);
}

static __always_inline void write_mac(__u8 *to, __u64 mac)
{
	*(__u32 *)to = mac;
	*(__u16 *)(to + 4) = mac >> 32;
}

/* RFC 2131 4.1: a renewing client has its address, others may or may not hear unicast. */
static __always_inline void write_delivery(const struct dhcp_frame *frame, const __u8 *port_mac,
					   __be32 yiaddr, bool is_ack)
{
	bool to_all = frame->bootp->flags & bpf_htons(BOOTP_FLAG_BROADCAST);

	if (is_ack && frame->bootp->ciaddr) {
		frame->ip->daddr = frame->bootp->ciaddr;
		to_all = false;
	} else {
		frame->ip->daddr = to_all ? bpf_htonl(0xffffffff) : yiaddr;
	}
	write_mac(frame->eth->h_dest, to_all ? ~0ULL : mac_of(frame->bootp->chaddr));
	write_mac(frame->eth->h_source, mac_of(port_mac));
}

/* `octets`, a multiple of 4 known at compile time. */
static __always_inline void write_zeros(void *start, __u32 octets)
{
	__u32 *at = start;

#pragma unroll
	for (__u32 i = 0; i < octets / 4; i++)
		at[i] = 0;
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
	write_zeros(bootp->sname, sizeof(bootp->sname) + sizeof(bootp->file));
}

/*
 * The pool's options and zeros behind them, to the end of the frame. The part that every reply
 * has is copied without a loop: nearly all replies are no longer.
 */
static __always_inline void write_pool_options(__u8 *options, const void *end,
					       const struct ip_pool *pool)
{
	const __u32 *from = (const __u32 *)pool->options;
	__u32 *to = (__u32 *)options;

#pragma unroll
	for (__u32 i = 0; i < OPTIONS_LEN_MIN / 4; i++)
		*to++ = from[i];
	for (__u32 i = OPTIONS_LEN_MIN / 4; i < OPTIONS_WORDS_MAX; i++, to++) {
		if ((const void *)(to + 1) > end)
			break;
		*to = i < DHCP_POOL_OPTIONS_MAX / 4 ? from[i] : 0;
	}
}

static __always_inline void write_number(__u8 *at, __u32 number)
{
	*(__be32 *)at = bpf_htonl(number);
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
	const __u32 *at = (const __u32 *)(options + OPTIONS_LEN_MIN);
	__u64 sum = sum_words(options, OPTIONS_LEN_MIN);

	for (__u32 i = OPTIONS_LEN_MIN / 4; i < OPTIONS_WORDS_MAX; i++, at++) {
		if ((const void *)(at + 1) > end)
			break;
		sum += *at;
	}
	return sum;
}

static __always_inline void write_ip_udp(const struct dhcp_frame *frame, __be32 server_be,
					 __u32 bootp_len)
{
	__u32 udp_len = sizeof(struct udphdr) + bootp_len;

	frame->ip->tos = 0;
	frame->ip->tot_len = bpf_htons(IP_HEADER_LEN + udp_len);
	frame->ip->id = 0;
	frame->ip->frag_off = 0;
	frame->ip->ttl = REPLY_TTL;
	frame->ip->saddr = server_be;
	frame->ip->check = 0;
	frame->ip->check = ip_checksum(frame);
	frame->udp->source = bpf_htons(DHCP_SERVER_PORT);
	frame->udp->dest = bpf_htons(DHCP_CLIENT_PORT);
	frame->udp->len = bpf_htons(udp_len);
	frame->udp->check = 0;
}

/* Write the whole reply into a frame of its length. */
static __always_inline bool write_reply(const struct xdp_md *ctx, const __u8 *port_mac,
					const struct request_options *found,
					const struct grant *grant)
{
	struct dhcp_frame frame = frame_of(ctx);
	const void *end = frame.end;
	__u8 *options = frame.options;
	bool is_ack = found->message_type == DHCPREQUEST;

	/* Never true behind resize(); the verifier has forgotten the length. */
	if ((const void *)(options + OPTIONS_LEN_MIN) > end)
		return false;

	write_delivery(&frame, port_mac, grant->binding.ip_be, is_ack);
	write_bootp(frame.bootp, grant->binding.ip_be, is_ack);

	write_pool_options(options, end, grant->pool);
	options[DHCP_OPT_AT_TYPE] = is_ack ? DHCPACK : DHCPOFFER;
	write_number(options + DHCP_OPT_AT_LEASE, grant->lease_s);
	write_number(options + DHCP_OPT_AT_T1, grant->t1_s);
	write_number(options + DHCP_OPT_AT_T2, grant->t2_s);
	write_last_options(options, end, found, grant->options_len);

	write_ip_udp(&frame, grant->pool->server_id_be, grant->bootp_len);
	frame.udp->check = udp_checksum(&frame, sum_options(options, end));
	return true;
}

#endif
