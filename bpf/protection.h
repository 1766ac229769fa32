/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * How much is passed up: "Protection" of docs/replies.md. What is answered here is not counted
 * in, so a flood costs a known subscriber nothing.
 */
#ifndef DHCP_PROTECTION_H
#define DHCP_PROTECTION_H

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "hash.h"
#include "maps.h"
#include "notes.h"
#include "options.h"
#include "parse.h"
#include "tables.h"

#define BUCKETS_MAX 65536

/*
 * When each bucket is full again, CLOCK_BOOTTIME; a full one needs no entry, and one that is
 * pushed out by others is taken for full. Two processors may take the same token.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, BUCKETS_MAX);
	__type(key, __u64);
	__type(value, __u64);
} buckets SEC(".maps");

/* When the bucket would be full again without one more token; 0 = it has none left. */
static __always_inline __u64 without_token(__u64 key, __u64 interval_ns, __u64 window_ns,
					   __u64 now_boot_ns)
{
	const __u64 *full = bpf_map_lookup_elem(&buckets, &key);
	__u64 full_boot_ns = now_boot_ns;

	if (full && READ_ONCE(*full) > now_boot_ns)
		full_boot_ns = READ_ONCE(*full);
	full_boot_ns += interval_ns;
	return full_boot_ns <= now_boot_ns + window_ns ? full_boot_ns : 0;
}

/* Clients that begin must not use up what clients that go on with their lease need. */
static __always_inline __u64 class_of(const struct request_notes *notes)
{
	return READ_ONCE(notes->message_type) > DHCPDISCOVER;
}

static __always_inline __u64 line_bucket(__u32 ifindex, const struct request_notes *notes)
{
	__u64 line = READ_ONCE(notes->circuit.len) ?
			     dhcp_circuit_key(0, ifindex, &notes->circuit) :
			     dhcp_line_key(0, ifindex, notes->place.s_vlan, notes->place.c_vlan);

	return line << 2 | class_of(notes) << 1; /* bit 0 is for those of a MAC */
}

/* Of a MAC on its line, so that nobody uses it up from another one. */
static __always_inline __u64 mac_bucket(__u64 mac, __u64 line_key)
{
	return mix64(line_key ^ mac << 16) | 1;
}

/* The client, 0 where the message could not be read. */
static __always_inline __u64 asking_mac(const struct xdp_md *ctx,
					const struct request_notes *notes)
{
	struct dhcp_frame frame = frame_of(ctx, notes);

	if (!READ_ONCE(notes->message_type) || (const void *)frame.options > frame.end)
		return 0;
	return mac_of(frame.bootp->chaddr);
}

/* The reason to pass a frame up, or to drop it because there were too many like it. */
static __always_inline __u32 protect(const struct xdp_md *ctx, __u32 reason)
{
	__u32 key = 0, ifindex = ctx->ingress_ifindex;
	const struct request_notes *notes = bpf_map_lookup_elem(&scratch, &key);
	const struct access_port *port = bpf_map_lookup_elem(&access_ports, &ifindex);
	__u64 line_interval_ns, mac_interval_ns, now_boot_ns, mac, line_full, mac_full;
	__u64 line_key, mac_key;

	if (!notes || !port || reason == DHCP_pass_port_unknown)
		return reason;
	line_interval_ns = READ_ONCE(port->line_limit.interval_ns);
	mac_interval_ns = READ_ONCE(port->mac_limit.interval_ns);
	if (!line_interval_ns && !mac_interval_ns)
		return reason;

	/* Both before either is taken from: who has too many does not use up his line's. */
	now_boot_ns = bpf_ktime_get_boot_ns();
	line_key = line_bucket(ifindex, notes);
	line_full = without_token(line_key, line_interval_ns,
				  READ_ONCE(port->line_limit.window_ns), now_boot_ns);
	if (line_interval_ns && !line_full)
		return DHCP_drop_line_rate;
	mac = asking_mac(ctx, notes);
	mac_key = mac_bucket(mac, line_key);
	if (mac_interval_ns && mac) {
		mac_full = without_token(mac_key, mac_interval_ns,
					 READ_ONCE(port->mac_limit.window_ns), now_boot_ns);
		if (!mac_full)
			return DHCP_drop_mac_rate;
		bpf_map_update_elem(&buckets, &mac_key, &mac_full, BPF_ANY);
	}
	if (line_interval_ns)
		bpf_map_update_elem(&buckets, &line_key, &line_full, BPF_ANY);
	return reason;
}

#endif
