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

#include "binding.h"
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

/* Does the client hold an address on this line, as far as the table knows? */
static __always_inline bool is_bound(__u32 ifindex, const struct request_notes *notes)
{
	struct asker asker = {
		.mac = notes->mac,
		.ifindex = ifindex,
		.key_mode = READ_ONCE(notes->key_mode),
	};
	struct pool_assignment copy;

	if (!READ_ONCE(notes->is_trusted))
		return false;
	set_key(notes, &asker);
	return find_binding(&asker, notes, &copy) == NO_REASON;
}

/*
 * Clients that begin must not use up what those need who go on, nor strangers what those need
 * who are bound here.
 */
static __always_inline __u64 class_of(__u32 ifindex, const struct request_notes *notes)
{
	return is_bound(ifindex, notes) ? 2 : READ_ONCE(notes->message_type) > DHCPDISCOVER;
}

static __always_inline __u64 line_bucket(__u32 ifindex, const struct request_notes *notes)
{
	__u64 line = READ_ONCE(notes->circuit.len) ?
			     dhcp_circuit_key(0, ifindex, &notes->circuit) :
			     dhcp_line_key(0, ifindex, notes->place.s_vlan, notes->place.c_vlan);

	return line << 3 | class_of(ifindex, notes) << 1; /* bit 0 is for those of a MAC */
}

/* Of the line; where its circuit could not be read, one that all of the port share. */
static __always_inline struct limit line_limit_of(const struct access_port *port,
						  const struct request_notes *notes)
{
	struct limit limit = {
		.interval_ns = READ_ONCE(port->line_limit.interval_ns),
		.window_ns = READ_ONCE(port->line_limit.window_ns),
	};

	if (limit.interval_ns && READ_ONCE(notes->key_mode) == DHCP_KEY_CIRCUIT &&
	    !READ_ONCE(notes->circuit.len)) {
		limit.interval_ns = NS_PER_S / DHCP_SHARED_RATE;
		limit.window_ns = limit.interval_ns * DHCP_SHARED_BURST;
	}
	return limit;
}

/* Of a MAC on its line, so that nobody uses it up from another one. */
static __always_inline __u64 mac_bucket(__u64 mac, __u64 line_key)
{
	return mix64(line_key ^ mac << 16) | 1;
}

/*
 * The reason to pass a frame up, or to drop it because there were too many like it. A function of
 * its own, which the verifier goes through once, however many ways lead here.
 */
__attribute__((noinline)) __u32 protect(struct xdp_md *ctx, __u32 reason)
{
	__u32 ifindex = ctx->ingress_ifindex;
	const struct request_notes *notes = notes_so_far();
	const struct access_port *port = bpf_map_lookup_elem(&access_ports, &ifindex);
	__u64 mac_interval_ns, now_boot_ns, mac, line_full, mac_full, line_key, mac_key;
	struct limit line;

	if (!notes || !port || reason == DHCP_pass_port_unknown)
		return reason;
	line = line_limit_of(port, notes);
	mac_interval_ns = READ_ONCE(port->mac_limit.interval_ns);
	if (!line.interval_ns && !mac_interval_ns)
		return reason;

	/* Both before either is taken from: who has too many does not use up his line's. */
	now_boot_ns = bpf_ktime_get_boot_ns();
	line_key = line_bucket(ifindex, notes);
	line_full = without_token(line_key, line.interval_ns, line.window_ns, now_boot_ns);
	if (line.interval_ns && !line_full)
		return DHCP_drop_line_rate;
	mac = READ_ONCE(notes->mac);
	mac_key = mac_bucket(mac, line_key);
	if (mac_interval_ns && mac) {
		mac_full = without_token(mac_key, mac_interval_ns,
					 READ_ONCE(port->mac_limit.window_ns), now_boot_ns);
		if (!mac_full)
			return DHCP_drop_mac_rate;
		bpf_map_update_elem(&buckets, &mac_key, &mac_full, BPF_ANY);
	}
	if (line.interval_ns)
		bpf_map_update_elem(&buckets, &line_key, &line_full, BPF_ANY);
	return reason;
}

#endif
