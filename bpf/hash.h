/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * One 64-bit mixer for three uses: keys that are hashes, the check word of an assignment and the
 * spread of T1. docs/replies.md, "Hash"; edge_agent/dhcp/tables.py and datapath/abi.py compute
 * the same.
 */
#ifndef DHCP_HASH_H
#define DHCP_HASH_H

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

/* Six octets as a number. */
static __always_inline __u64 mac_of(const __u8 *octets)
{
	return *(const __u32 *)octets | (__u64)*(const __u16 *)(octets + 4) << 32;
}

/* Key of a binding in mode LINE. */
static __always_inline __u64 dhcp_line_key(__u64 mac, __u32 ifindex, __u16 s_vlan, __u16 c_vlan)
{
	__u64 x = mix64(mac) ^ ((__u64)ifindex | (__u64)s_vlan << 32 | (__u64)c_vlan << 48);

	return mix64(x) >> 8 | (__u64)DHCP_KEY_TAG_LINE << 56;
}

/* Key of a binding in mode CIRCUIT; the octets behind `len` are zero. */
static __always_inline __u64 dhcp_circuit_key(__u64 mac, __u32 ifindex, const struct circuit *c)
{
	const __u64 *words = (const __u64 *)c->octets;
	__u64 x = mix64(mac) ^ ((__u64)ifindex | (__u64)c->giaddr_be << 32);

	for (__u32 i = 0; i < DHCP_CIRCUIT_MAX / 8 && i * 8 < c->len; i++)
		x = mix64(x) ^ words[i];
	x = mix64(x) ^ c->len;
	return mix64(x) >> 8 | (__u64)DHCP_KEY_TAG_CIRCUIT << 56;
}

/* Odd, and any will do. */
#define CHECK_HOLDER 0x9e3779b97f4a7c15ULL
#define CHECK_ADDRESS 0xbf58476d1ce4e5b9ULL
#define CHECK_PLACE 0x94d049bb133111ebULL
#define CHECK_EVENT 0xd6e8feb86659fd93ULL

/* A sum of products, which do not wait for each other. */
static __always_inline __u32 dhcp_check_word(__u64 key, const struct pool_assignment *a)
{
	__u64 x = key ^ mac_of(a->mac) << 16;

	x *= CHECK_HOLDER;
	x += ((__u64)a->ip_be | (__u64)a->pool_id << 32) * CHECK_ADDRESS;
	x += ((__u64)a->slot | (__u64)a->ifindex << 32) * CHECK_PLACE;
	x += ((__u64)a->s_vlan | (__u64)a->c_vlan << 16 | a->seq << 32) * CHECK_EVENT;
	return (__u32)mix64(x);
}

#endif
