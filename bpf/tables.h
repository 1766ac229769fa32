/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The maps that program and agent share. Shapes: maps.h. Sizes are defaults; the
 * loader sets those of subscriber_pools, circuits and promises.
 */
#ifndef DHCP_TABLES_H
#define DHCP_TABLES_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "maps.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, DHCP_MAX_SUBSCRIBERS);
	__type(key, __u64);
	__type(value, struct pool_assignment);
} subscriber_pools SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct circuit);
} circuits SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, DHCP_MAX_POOLS);
	__type(key, __u32);
	__type(value, struct ip_pool);
} ip_pools SEC(".maps");

/* Per CPU, so that counting never bounces a cache line between processors. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct dhcp_stats);
} stats_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, DHCP_MAX_SUBSCRIBERS);
	__type(key, __u32);
	__type(value, struct promise);
} promises SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1 << (DHCP_KNOWN_BITS - 6));
	__type(key, __u32);
	__type(value, __u64);
} known_macs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, DHCP_STOCK_SIZE);
	__type(key, __u32);
	__type(value, struct stocked);
} stock SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, DHCP_MAX_PORTS);
	__type(key, __u32);
	__type(value, struct access_port);
} access_ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct site_state);
} site_state SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, DHCP_NOTICES_SIZE);
} notices SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, DHCP_ASKS_SIZE);
} asks SEC(".maps");

#define READ_ONCE(x) (*(const volatile typeof(x) *)&(x))

/* Makes the compiler forget what it knows of memory. */
#define barrier() asm volatile("" ::: "memory")

/*
 * The same behind a loop or a fork, where the verifier shall see that its paths have become one.
 * It takes a call of protect() or tell() to read every register that an argument may be in, so
 * what is left in those would keep the paths apart.
 */
#define join_paths()                                                                \
	asm volatile("r1 = 0\nr2 = 0\nr3 = 0\nr4 = 0\nr5 = 0" ::: "r1", "r2", "r3", \
		     "r4", "r5", "memory")

static __always_inline void count(__u32 verdict)
{
	__u32 key = 0;
	__u64 *counters = bpf_map_lookup_elem(&stats_map, &key);

	if (counters && verdict < DHCP_COUNTER_MAX)
		counters[verdict]++;
}

#endif
