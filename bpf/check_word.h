/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * One 64-bit mixer for two uses: the check word of an assignment and the spread of T1.
 * docs/replies.md, "Hash"; edge_agent/datapath/abi.py computes the same.
 */
#ifndef DHCP_CHECK_WORD_H
#define DHCP_CHECK_WORD_H

#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "maps.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the check word is defined on little-endian numbers; swap here before use elsewhere"
#endif

static __always_inline __u64 mix64(__u64 x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdULL;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53ULL;
	x ^= x >> 33;
	return x;
}

static __always_inline __u32 dhcp_check_word(__u64 mac_key, const struct pool_assignment *a)
{
	__u64 x = mac_key;

	x = mix64(x) ^ ((__u64)a->ip_be | (__u64)a->pool_id << 32);
	x = mix64(x) ^ ((__u64)a->slot | (__u64)a->ifindex << 32);
	x = mix64(x) ^ ((__u64)a->s_vlan | (__u64)a->c_vlan << 16 | a->seq << 32);
	return (__u32)mix64(x);
}

#endif
