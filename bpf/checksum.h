/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The Internet checksum (RFC 1071), summed in words of 32 bits.
 *
 * bpf_csum_diff() takes at most 512 octets before Linux 6.13 and a length that the verifier
 * knows, so a reply would need it twice and a loop besides; most of a reply is zero anyway.
 *
 * What the program writes it sums up as it goes: a word that is read back before all of its
 * octets have left the processor's store buffer waits for them.
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

/* Of eight octets. */
static __always_inline __u64 sum_of(__u64 words)
{
	return (words & 0xffffffff) + (words >> 32);
}

/* A sum of what begins at `at`: behind an odd number of octets those are swapped, RFC 1071 2 B. */
static __always_inline __u64 sum_at(__u64 sum, __u32 at)
{
	return sum << (at & 1) * 8;
}

#endif
