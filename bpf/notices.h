/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the agent is told beside the counters: "Notices" of docs/replies.md. No verdict and no
 * octet of a frame depends on it, so whatever goes wrong here is left as it is.
 */
#ifndef DHCP_NOTICES_H
#define DHCP_NOTICES_H

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "binding.h"
#include "maps.h"
#include "notes.h"
#include "parse.h"
#include "protection.h"
#include "reply.h"
#include "tables.h"

/* Of one kind from one line: ten a second, a hundred at once. */
#define NOTICE_INTERVAL_NS 100000000ULL
#define NOTICE_WINDOW_NS (100 * NOTICE_INTERVAL_NS)

/* Where a line's bucket has its kind; in those of what is passed up these bits are 0. */
#define NOTICE_KIND_SHIFT 59

#define SUSPECT_VERDICTS                                                           \
	(1ULL << DHCP_pass_source_mac | 1ULL << DHCP_pass_untrusted_relay |        \
	 1ULL << DHCP_pass_relay_unknown | 1ULL << DHCP_pass_other_line |          \
	 1ULL << DHCP_drop_line_rate | 1ULL << DHCP_drop_mac_rate)

_Static_assert(DHCP_COUNTER_MAX <= 64, "a bit for each verdict");

static __always_inline void write_notice(const struct xdp_md *ctx, struct request_notes *notes,
					 const struct dhcp_frame *frame, enum dhcp_notice_kind kind)
{
	struct notice *notice = &notes->notice;

	notice->at_boot_ns = bpf_ktime_get_boot_ns();
	notice->kind = kind;
	notice->ifindex = ctx->ingress_ifindex;
	notice->s_vlan = notes->place.s_vlan;
	notice->c_vlan = notes->place.c_vlan;
	write_mac(notice->mac, READ_ONCE(notes->mac));
	write_mac(notice->sender,
		  kind == DHCP_NOTICE_SUSPECT ? mac_of(frame->eth->h_source) : 0);
}

/* From a line; the horizon is no line's own, so of short grants from an interface. */
static __always_inline bool take_token(const struct request_notes *notes)
{
	const struct notice *notice = &notes->notice;
	__u64 line = notice->kind == DHCP_NOTICE_SHORT_GRANT ?
			     dhcp_line_key(0, notice->ifindex, 0, 0) << 3 :
			     line_bucket(notice->ifindex, notes);
	__u64 bucket = line | (__u64)notice->kind << NOTICE_KIND_SHIFT;
	__u64 full_boot_ns = without_token(bucket, NOTICE_INTERVAL_NS, NOTICE_WINDOW_NS,
					   notice->at_boot_ns);

	return full_boot_ns &&
	       !bpf_map_update_elem(&buckets, &bucket, &full_boot_ns, BPF_ANY);
}

/*
 * Tell the agent of a verdict, if the line has a token for it. A function of its own, which the
 * verifier looks at once and not for every path that leads here.
 */
__noinline int tell(struct xdp_md *ctx, enum dhcp_notice_kind kind, enum dhcp_counter verdict,
		    __be32 ip_be, __u64 seq)
{
	struct request_notes *notes = notes_so_far();
	struct dhcp_frame frame;

	if (!notes)
		return 0;
	frame = frame_of(ctx, notes);
	if ((const void *)(frame.eth + 1) > frame.end)
		return 0;
	notes->notice.seq = seq;
	notes->notice.reason = verdict;
	notes->notice.ip_be = ip_be;
	write_notice(ctx, notes, &frame, kind);
	if (take_token(notes))
		bpf_ringbuf_output(&notices, &notes->notice, sizeof(notes->notice),
				   BPF_RB_NO_WAKEUP);
	return 0;
}

/* Of an ACK that is the first one, or of less than a whole lease. */
static __always_inline void tell_of_ack(struct xdp_md *ctx, const struct grant *grant)
{
	__u64 now_boot_ns = grant->end_boot_ns - grant->lease_s * NS_PER_S;

	if (grant->before.kernel_boot_ns <= now_boot_ns &&
	    grant->before.agent_boot_ns <= now_boot_ns)
		tell(ctx, DHCP_NOTICE_FIRST_ACK, DHCP_ack, grant->binding.ip_be,
		     grant->binding.seq);
	else if (grant->lease_s < READ_ONCE(grant->pool->lease_time_s))
		tell(ctx, DHCP_NOTICE_SHORT_GRANT, DHCP_ack, grant->binding.ip_be,
		     grant->binding.seq);
}

/* Of who is not whom or where he claims, or sends too much. */
static __always_inline void tell_of_suspect(struct xdp_md *ctx, __u32 verdict)
{
	if (SUSPECT_VERDICTS >> (verdict & 63) & 1)
		tell(ctx, DHCP_NOTICE_SUSPECT, verdict, 0, 0);
}

#endif
