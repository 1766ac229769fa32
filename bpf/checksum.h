/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The Internet checksum (RFC 1071), summed in words of 32 bits.
 *
 * bpf_csum_diff() takes at most 512 octets before Linux 6.13 and a length that the verifier
 * knows, so a reply would need it twice and a loop besides; most of a reply is zero anyway.
 */
#ifndef DHCP_CHECKSUM_H
#define DHCP_CHECKSUM_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "parse.h"

/* Sum of `octets`, a multiple of 4 known at compile time. */
static __always_inline __u64 sum_words(const void *start, __u32 octets)
{
	const __u32 *at = start;
	__u64 sum = 0;

#pragma unroll
	for (__u32 i = 0; i < octets / 4; i++)
		sum += at[i];
	return sum;
}

static __always_inline __u16 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* What the field should be; 0 over a header whose field is right (rule 7). */
static __always_inline __u16 ip_checksum(const struct dhcp_frame *frame)
{
	return fold(sum_words(frame->ip, IP_HEADER_LEN));
}

/*
 * Over the pseudo header, the UDP header and the payload; `options_sum` is the sum of the
 * option area. Returns 0xffff for 0, which would mean "no checksum" (RFC 768).
 */
static __always_inline __u16 udp_checksum(const struct dhcp_frame *frame, __u64 options_sum)
{
	__u64 sum = options_sum;
	__u16 folded;

	sum += sum_words(&frame->ip->saddr, 8);
	sum += (__u64)bpf_htons(IPPROTO_UDP) + frame->udp->len;
	sum += sum_words(frame->udp, UDP_HEADER_LEN);
	/* sname and file are zero in a reply */
	sum += sum_words(frame->bootp, __builtin_offsetof(struct bootp, sname));
	sum += frame->bootp->cookie;
	folded = fold(sum);
	return folded ? folded : 0xffff;
}

#endif
