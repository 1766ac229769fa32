// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * What the fast path is measured with and against.
 *
 * BPF_PROG_TEST_RUN runs a program on one frame a million times and does not restore the frame in
 * between, so from the second run on an answered DISCOVER would be an OFFER, which passes. Hence
 * bench_restore writes the frame anew before each run, as another client's if wanted, and
 * tail-calls what is to be measured. Its own cost is measured with bench_pass in that place.
 */
#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "maps.h"

#define FRAME_MAX 640
#define BOOTP_AT 42
#define CIADDR_AT (BOOTP_AT + 12)
#define CHADDR_AT (BOOTP_AT + 28)
#define CLIENT_MAC 0xbe02 /* first two octets of every client's MAC: 02:be */

/* scripts/benchmark/harness.py writes it. */
struct bench_frame {
	__u32 len;
	__u32 clients;    /* 0 = leave the frame as it is */
	__u32 first_addr; /* host order; not 0: ciaddr becomes the client's */
	__u32 settled;
	__u8 octets[FRAME_MAX];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bench_frame);
} bench_frame SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} bench_target SEC(".maps");

/* The fast path's own map: a bare hit looks up the same million keys. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, DHCP_MAX_SUBSCRIBERS);
	__type(key, __u64);
	__type(value, struct pool_assignment);
} subscriber_pools SEC(".maps");

static __always_inline bool restore(struct xdp_md *ctx, const struct bench_frame *frame)
{
	long len = (long)ctx->data_end - (long)ctx->data;
	const __u8 *from = frame->octets;
	const void *end;
	__u32 i = 0;
	__u8 *at;

	/* Also by nothing, so that bench_pass pays as much for it as what changes the length. */
	asm volatile("" : "+r"(len)); /* or clang takes pointers apart in 32 bits */
	if (bpf_xdp_adjust_tail(ctx, (int)frame->len - (int)len))
		return false;
	at = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	for (; i < FRAME_MAX; i += 8, at += 8) {
		if ((const void *)(at + 8) > end)
			break;
		*(__u64 *)at = *(const __u64 *)(from + i);
	}
	for (; i < FRAME_MAX; i += 2, at += 2) {
		if ((const void *)(at + 2) > end)
			break;
		*(__u16 *)at = *(const __u16 *)(from + i);
	}
	return true;
}

static __always_inline void write_client(__u8 *mac, __u32 number)
{
	*(__u16 *)mac = CLIENT_MAC;
	*(__be32 *)(mac + 2) = bpf_htonl(number);
}

/* Let the frame be a random client's. */
static __always_inline bool choose_client(struct xdp_md *ctx, const struct bench_frame *frame)
{
	__u32 number = (__u64)bpf_get_prandom_u32() * frame->clients >> 32;
	__u8 *data = (void *)(long)ctx->data;

	if ((void *)(data + CHADDR_AT + ETH_ALEN) > (void *)(long)ctx->data_end)
		return false;
	write_client(data + ETH_ALEN, number);
	write_client(data + CHADDR_AT, number);
	if (frame->first_addr)
		*(__be32 *)(data + CIADDR_AT) = bpf_htonl(frame->first_addr + number);
	return true;
}

/*
 * Wait until the frame has left the processor's store buffer, which no frame from a wire is in:
 * reading other words than were written would wait for it, at the cost of what is measured.
 */
static __always_inline void settle(struct bench_frame *frame)
{
	__sync_fetch_and_add(&frame->settled, 1); /* locked, so all stores before are done */
}

SEC("xdp")
int bench_restore(struct xdp_md *ctx)
{
	__u32 key = 0;
	struct bench_frame *frame = bpf_map_lookup_elem(&bench_frame, &key);

	if (!frame || !restore(ctx, frame))
		return XDP_ABORTED;
	if (frame->clients && !choose_client(ctx, frame))
		return XDP_ABORTED;
	settle(frame);
	bpf_tail_call(ctx, &bench_target, 0);
	return XDP_ABORTED;
}

SEC("xdp")
int bench_pass(struct xdp_md *ctx __attribute__((unused)))
{
	return XDP_PASS;
}

SEC("xdp")
int bench_tx(struct xdp_md *ctx __attribute__((unused)))
{
	return XDP_TX;
}

/* A bare look-up that reads the whole value, as the fast path has to. */
SEC("xdp")
int bench_lookup(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data;
	const struct pool_assignment *value;
	__u64 key;

	if ((void *)(data + CHADDR_AT + ETH_ALEN) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	key = *(__u32 *)(data + CHADDR_AT) | (__u64)*(__u16 *)(data + CHADDR_AT + 4) << 32;
	value = bpf_map_lookup_elem(&subscriber_pools, &key);
	if (!value)
		return XDP_DROP;
	return value->ip_be && value->check && value->seq ? XDP_PASS : XDP_TX;
}

/* The least that an answer can be: the frame back to its sender. */
SEC("xdp")
int bench_echo(struct xdp_md *ctx)
{
	struct ethhdr *eth = (void *)(long)ctx->data;
	__u8 source[ETH_ALEN];

	if ((void *)(eth + 1) > (void *)(long)ctx->data_end)
		return XDP_PASS;
	if (eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	__builtin_memcpy(source, eth->h_source, ETH_ALEN);
	__builtin_memcpy(eth->h_source, eth->h_dest, ETH_ALEN);
	eth->h_source[0] &= ~1;
	__builtin_memcpy(eth->h_dest, source, ETH_ALEN);
	return XDP_TX;
}

char _license[] SEC("license") = "Dual BSD/GPL";
