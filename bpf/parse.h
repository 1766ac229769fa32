/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * From frame to BOOTP header: rules 1 and 3 to 6 of docs/replies.md.
 */
#ifndef DHCP_PARSE_H
#define DHCP_PARSE_H

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/types.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "maps.h"

#define DHCP_SERVER_PORT 67
#define DHCP_CLIENT_PORT 68
#define DHCP_COOKIE 0x63825363 /* RFC 2131 3 */
#define BOOTP_REQUEST 1
#define BOOTP_REPLY 2
#define BOOTP_FLAG_BROADCAST 0x8000 /* RFC 2131 2 */
#define IP_MORE_FRAGMENTS 0x2000
#define IP_FRAGMENT_OFFSET 0x1fff
#define IP_HEADER_LEN 20
#define UDP_HEADER_LEN 8

/* Of a rule that holds: go on. */
#define NO_REASON DHCP_COUNTER_MAX

/* RFC 2131 2, with the cookie that starts the option area (RFC 2132 2). */
struct bootp {
	__u8 op;
	__u8 htype;
	__u8 hlen;
	__u8 hops;
	__be32 xid;
	__be16 secs;
	__be16 flags;
	__be32 ciaddr;
	__be32 yiaddr;
	__be32 siaddr;
	__be32 giaddr;
	__u8 chaddr[16];
	__u8 sname[64];
	__u8 file[128];
	__be32 cookie;
};

_Static_assert(sizeof(struct bootp) == 240, "BOOTP header with cookie");

/*
 * Where the parts of an untagged DHCP frame are. Pointers instead of one packed struct: IPv4
 * starts at octet 14, and a packed field is read octet by octet, while the machines that run
 * XDP read a word at any address.
 */
struct dhcp_frame {
	struct ethhdr *eth;
	struct iphdr *ip;
	struct udphdr *udp;
	struct bootp *bootp;
	__u8 *options;
	const void *end; /* of the frame */
};

#define HEADERS_LEN (ETH_HLEN + IP_HEADER_LEN + UDP_HEADER_LEN)
#define HEADERS_TOTAL (HEADERS_LEN - ETH_HLEN + sizeof(struct bootp)) /* as IPv4 counts */

static __always_inline struct dhcp_frame frame_of(const struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;

	return (struct dhcp_frame){
		.eth = data,
		.ip = data + ETH_HLEN,
		.udp = data + ETH_HLEN + IP_HEADER_LEN,
		.bootp = data + HEADERS_LEN,
		.options = data + HEADERS_LEN + sizeof(struct bootp),
		.end = (void *)(long)ctx->data_end,
	};
}

/*
 * Rule 1. All other traffic of the interface comes through here, so it costs a few loads: no
 * map, no clock, no counter. The port is looked for behind IP options, so that a DHCP message
 * that has some is counted, by rule 3.
 */
static __always_inline bool is_to_dhcp_server(const struct dhcp_frame *frame)
{
	const struct udphdr *udp;

	if ((const void *)frame->bootp > frame->end)
		return false;
	if (frame->eth->h_proto != bpf_htons(ETH_P_IP))
		return false;
	if (frame->ip->version != 4 || frame->ip->protocol != IPPROTO_UDP)
		return false;
	udp = (const void *)frame->ip + frame->ip->ihl * 4;
	if ((const void *)(udp + 1) > frame->end)
		return false;
	return udp->dest == bpf_htons(DHCP_SERVER_PORT);
}

/*
 * Rules 3 to 6. On success `*ret_options_len` is the length of the option area, that is of
 * everything behind the cookie, and the frame holds all headers in front of it.
 *
 * Returns the reason to pass, or NO_REASON.
 */
static __always_inline __u32 check_headers(const struct dhcp_frame *frame, __u32 *ret_options_len)
{
	__u32 total;

	if (frame->ip->ihl != 5)
		return DHCP_pass_ip_header;
	if (frame->ip->frag_off & bpf_htons(IP_MORE_FRAGMENTS | IP_FRAGMENT_OFFSET))
		return DHCP_pass_fragment;

	total = bpf_ntohs(frame->ip->tot_len);
	if (total <= HEADERS_TOTAL || (const void *)frame->ip + total > frame->end)
		return DHCP_pass_length;
	/* Follows from the line above, but the verifier does not compare the two. */
	if ((const void *)frame->options > frame->end)
		return DHCP_pass_length;
	if (bpf_ntohs(frame->udp->len) != total - IP_HEADER_LEN)
		return DHCP_pass_length;

	if (frame->bootp->op != BOOTP_REQUEST || frame->bootp->htype != 1 ||
	    frame->bootp->hlen != ETH_ALEN || frame->bootp->cookie != bpf_htonl(DHCP_COOKIE))
		return DHCP_pass_bootp_header;

	*ret_options_len = total - HEADERS_TOTAL;
	return NO_REASON;
}

/* Six octets as a number; of chaddr, it is the key of subscriber_pools (discriminator 0). */
static __always_inline __u64 mac_of(const __u8 *octets)
{
	return *(const __u32 *)octets | (__u64)*(const __u16 *)(octets + 4) << 32;
}

/* Rule 10: chaddr is the sender, and one that can be answered. */
static __always_inline bool is_from_client_itself(const struct dhcp_frame *frame)
{
	const __u8 *chaddr = frame->bootp->chaddr;
	__u64 mac = mac_of(chaddr);

	return mac && mac == mac_of(frame->eth->h_source) && !(chaddr[0] & 1);
}

#endif
