/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The reply, written over the request: "Reply" in docs/replies.md. Nothing here decides.
 *
 * It is written in stages, each of which asks anew where the frame is: so the verifier forgets
 * on which of its many paths through the loops of the stage before it came. A function that
 * writes returns the sum of what it wrote for the UDP checksum, see checksum.h.
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
#include "notes.h"
#include "options.h"
#include "parse.h"

#define REPLY_TTL 64

/* Ethernet with two tags, IP, UDP and BOOTP to the end of chaddr, in words of 64 bits. */
#define KEPT_WORDS ((ETH_HLEN + 8 + HEADERS_LEN + 44 + 7) / 8)

/*
 * Grow the frame in front, where it has no room behind, as small packets on a veth pair. What
 * the reply takes from the request moves to the new front; the rest of it is written anyway.
 */
static __always_inline bool grow_at_head(struct xdp_md *ctx, const struct request_notes *notes,
					 int octets)
{
	struct dhcp_frame frame;
	const __u64 *from;
	__u64 *to;

	if (bpf_xdp_adjust_head(ctx, -octets))
		return false;
	frame = frame_of(ctx, notes);
	to = (__u64 *)frame.eth;
	from = (const void *)frame.eth + (octets & 1023);
	asm volatile("" : "+r"(from));
	/* Never true in a frame that has grown; the verifier has forgotten the length. */
	if ((const void *)(to + KEPT_WORDS) > frame.end ||
	    (const void *)(from + KEPT_WORDS) > frame.end ||
	    (const void *)frame.options > frame.end)
		return false;
#pragma unroll
	for (__u32 i = 0; i < KEPT_WORDS; i++)
		to[i] = from[i];
	frame.bootp->cookie = bpf_htonl(DHCP_COOKIE);
	return true;
}

/* Make the frame as long as the reply. A frame that could not be resized is unchanged. */
static __always_inline bool resize(struct xdp_md *ctx, const struct request_notes *notes,
				   __u32 bootp_len)
{
	int change = notes->place.ethernet_len + HEADERS_LEN + bootp_len -
		     (int)(ctx->data_end - ctx->data);

	return !change || !bpf_xdp_adjust_tail(ctx, change) ||
	       (change > 0 && grow_at_head(ctx, notes, change));
}

static __always_inline void write_mac(__u8 *to, __u64 mac)
{
	*(__u32 *)to = mac;
	*(__u16 *)(to + 4) = mac >> 32;
}

/*
 * RFC 2131 4.1: a relay hands on what it is sent, but to who informs itself (4.3.5); a renewing
 * client has its address, perhaps behind a router; others may or may not hear unicast, and none
 * that is refused. Tags stay as they came.
 */
static __always_inline void write_delivery(const struct dhcp_frame *frame, const __u8 *port_mac,
					   __be32 yiaddr, __u32 reply)
{
	bool is_from_client = reply == DHCP_ack || reply == DHCP_inform_ack;
	__u64 to = mac_of(frame->bootp->chaddr);
	__be32 address = yiaddr;
	__u16 port = DHCP_CLIENT_PORT;

	if (frame->bootp->giaddr && reply != DHCP_inform_ack) {
		to = mac_of(frame->eth->h_source);
		address = frame->bootp->giaddr;
		port = DHCP_SERVER_PORT;
		if (reply == DHCP_nak) /* 4.3.2: or the relay would send it where he is not */
			frame->bootp->flags |= bpf_htons(BOOTP_FLAG_BROADCAST);
	} else if (is_from_client && frame->bootp->ciaddr) {
		to = mac_of(frame->eth->h_source);
		address = frame->bootp->ciaddr;
	} else if (reply == DHCP_nak ||
		   frame->bootp->flags & bpf_htons(BOOTP_FLAG_BROADCAST)) {
		to = BROADCAST_MAC;
		address = bpf_htonl(0xffffffff);
	}
	write_mac(frame->eth->h_dest, to);
	write_mac(frame->eth->h_source, mac_of(port_mac));
	frame->ip->daddr = address;
	frame->udp->dest = bpf_htons(port);
	join_paths();
}

/* The headers of IP and UDP, but for where it goes and the UDP checksum. */
static __always_inline __u64 write_ip_udp(const struct dhcp_frame *frame, __be32 server_be,
					  __u32 bootp_len)
{
	__u32 version_len = 0x45 | (__u32)bpf_htons(HEADERS_LEN + bootp_len) << 16;
	__u32 ttl_protocol = REPLY_TTL | IPPROTO_UDP << 8;
	__u64 addresses = (__u64)server_be + frame->ip->daddr;
	__u64 check = fold(version_len + ttl_protocol + addresses);
	__u16 udp_len = bpf_htons(UDP_HEADER_LEN + bootp_len);
	__u64 *ip = (__u64 *)frame->ip;

	ip[0] = version_len; /* no id, no fragment */
	ip[1] = ttl_protocol | check << 16 | (__u64)server_be << 32;
	frame->udp->source = bpf_htons(DHCP_SERVER_PORT);
	frame->udp->len = udp_len;
	return addresses + bpf_htons(IPPROTO_UDP) + bpf_htons(DHCP_SERVER_PORT) +
	       frame->udp->dest + 2 * udp_len;
}

/* `octets`, a multiple of 8 known at compile time. */
static __always_inline void write_zeros(void *start, __u32 octets)
{
	__u64 *at = start;

#pragma unroll
	for (__u32 i = 0; i < octets / 8; i++)
		at[i] = 0;
}

/* By words, a multiple of 4: clang copies octet by octet where it knows of no alignment. */
static __always_inline void copy_words(void *start, const void *from, __u32 octets)
{
	const __u32 *word = from;
	__u32 *at = start;

#pragma unroll
	for (__u32 i = 0; i < octets / 8; i++)
		((__u64 *)start)[i] = ((const __u64 *)from)[i];
	if (octets % 8)
		at[octets / 4 - 1] = word[octets / 4 - 1];
}

static __always_inline __u64 write_bootp(struct bootp *bootp, __be32 yiaddr, __u32 reply)
{
	__u32 start = BOOTP_REPLY | 1 << 8 | ETH_ALEN << 16;

	*(__u32 *)bootp = start; /* no hops */
	bootp->secs = 0;
	if (reply != DHCP_ack && reply != DHCP_inform_ack)
		bootp->ciaddr = 0;
	bootp->yiaddr = reply == DHCP_offer || reply == DHCP_ack ? yiaddr : 0;
	bootp->siaddr = 0;
	write_zeros(bootp->sname, sizeof(bootp->sname) + sizeof(bootp->file));
	barrier();
	return (__u64)start + bootp->xid + bootp->flags + bootp->ciaddr +
	       bootp->yiaddr + bootp->giaddr + sum_words(bootp->chaddr, sizeof(bootp->chaddr)) +
	       bpf_htonl(DHCP_COOKIE);
}

/* At an odd place. */
static __always_inline __u64 write_number(__u8 *at, __u32 number)
{
	__be32 number_be = bpf_htonl(number);

	*(__be32 *)at = number_be;
	return sum_at(number_be, 1);
}

/*
 * The pool's options, patched where they are 0. The part that every reply has room for is copied
 * without a loop, and with it the zeros behind the options: nearly all replies are no longer.
 * `sum` is that part's.
 */
static __always_inline __u64 write_pool_options(__u8 *options, const void *end,
						const __u8 *from_options,
						__u64 sum, const struct grant *grant, __u32 reply)
{
	const __u32 *from = (const __u32 *)from_options;
	__u32 *to = (__u32 *)options;
	__u32 words = (grant->options_len + 3) / 4;
	__u8 type = reply == DHCP_offer ? DHCPOFFER : reply == DHCP_nak ? DHCPNAK : DHCPACK;
	__u32 i;

	copy_words(options, from_options, OPTIONS_LEN_MIN);
	sum += type;
	options[DHCP_OPT_AT_TYPE] = type;
	if (reply == DHCP_offer || reply == DHCP_ack) {
		sum += write_number(options + DHCP_OPT_AT_LEASE, grant->lease_s);
		sum += write_number(options + DHCP_OPT_AT_T1, grant->t1_s);
		sum += write_number(options + DHCP_OPT_AT_T2, grant->t2_s);
	}
	for (i = OPTIONS_LEN_MIN / 4, to += i; i < words && i < DHCP_POOL_OPTIONS_MAX / 4; i++, to++) {
		if ((const void *)(to + 1) > end)
			break;
		*to = from[i];
		sum += from[i];
	}
	return sum;
}

/* First stage: everything but what is echoed and the UDP checksum. */
static __always_inline bool write_start(const struct xdp_md *ctx, const __u8 *port_mac,
					struct request_notes *notes, const struct grant *grant)
{
	struct dhcp_frame frame = frame_of(ctx, notes);
	__u32 reply = READ_ONCE(notes->reply);
	const __u8 *pool_options = READ_ONCE(notes->chosen.len) ? notes->chosen.options :
								  grant->pool->options;
	__u32 *last = (__u32 *)((__u8 *)frame.bootp + ((grant->bootp_len - 4) & 2047));

	/* Never true behind resize(); the verifier has forgotten the length. */
	if ((const void *)(frame.eth + 1) > frame.end ||
	    (const void *)(frame.options + OPTIONS_LEN_MIN) > frame.end ||
	    (const void *)(last + 1) > frame.end)
		return false;
	*last = 0; /* what of it nothing else is written to */
	write_delivery(&frame, port_mac, grant->binding.ip_be, reply);
	notes->sum = write_bootp(frame.bootp, grant->binding.ip_be, reply) +
		     write_ip_udp(&frame, grant->pool->server_id_be, grant->bootp_len);
	join_paths();
	notes->sum += write_pool_options(frame.options, frame.end, pool_options,
					 READ_ONCE(notes->options_sum), grant, reply);
	join_paths();
	return true;
}

/* An option at `at` of the reply's option area; `at` moves behind it. */
static __always_inline bool write_echoed(const struct xdp_md *ctx, struct request_notes *notes,
					 const struct echoed *option, __u32 *at)
{
	__u32 len = READ_ONCE(option->len);
	struct dhcp_frame frame;
	__u64 last;
	__u32 i;
	__u8 *to;

	if (!len)
		return true;
	frame = frame_of(ctx, notes);
	to = frame.options + (*at & 2047);
	for (i = 0; i + 8 <= len && i < DHCP_OPTION_MAX - 7; i += 8, to += 8) {
		if ((const void *)(to + 8) > frame.end)
			return false;
		*(__u64 *)to = *(const __u64 *)(option->octets + i);
	}
	last = *(const __u64 *)(option->octets + i);
	if (len & 4) {
		if ((const void *)(to + 4) > frame.end)
			return false;
		*(__u32 *)to = last;
		last >>= 32;
		to += 4;
	}
	if (len & 2) {
		if ((const void *)(to + 2) > frame.end)
			return false;
		*(__u16 *)to = last;
		last >>= 16;
		to += 2;
	}
	if (len & 1) {
		if ((const void *)(to + 1) > frame.end)
			return false;
		*to = last;
	}
	notes->sum += sum_at(option->sum, *at);
	join_paths();
	*at += READ_ONCE(option->len) & 511;
	return true;
}

/* Second stage: option 61 as received (RFC 6842), 82 as the last one (RFC 3046 2.2), END. */
static __always_inline bool write_end(const struct xdp_md *ctx, struct request_notes *notes,
				      const struct grant *grant)
{
	__u32 at = grant->options_len;
	struct dhcp_frame frame;
	__u16 check;
	__u8 *last;

	if (!write_echoed(ctx, notes, &notes->client_id, &at) ||
	    !write_echoed(ctx, notes, &notes->relay_agent, &at))
		return false;
	frame = frame_of(ctx, notes);
	last = frame.options + (at & 2047);
	if ((const void *)(last + 1) > frame.end || (const void *)frame.options > frame.end)
		return false;
	*last = OPTION_END;
	check = fold(READ_ONCE(notes->sum) + sum_at(OPTION_END, at));
	frame.udp->check = check ? check : 0xffff; /* 0 would mean "no checksum" (RFC 768) */
	return true;
}

/* Write the whole reply into a frame of its length. */
static __always_inline bool write_reply(const struct xdp_md *ctx, const __u8 *port_mac,
					struct request_notes *notes, const struct grant *grant)
{
	return write_start(ctx, port_mac, notes, grant) && write_end(ctx, notes, grant);
}

#endif
