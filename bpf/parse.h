/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * From frame to BOOTP header: rules 1, 3 to 6, 8, 10 and 15 of docs/replies.md.
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

#include "hash.h"
#include "maps.h"
#include "notes.h"

#define DHCP_SERVER_PORT 67
#define DHCP_CLIENT_PORT 68
#define BROADCAST_MAC 0xffffffffffffULL
#define DHCP_COOKIE 0x63825363 /* RFC 2131 3 */
#define BOOTP_REQUEST 1
#define BOOTP_REPLY 2
#define BOOTP_FLAG_BROADCAST 0x8000 /* RFC 2131 2 */
#define IP_MORE_FRAGMENTS 0x2000
#define IP_FRAGMENT_OFFSET 0x1fff
#define IP_HEADER_LEN 20
#define UDP_HEADER_LEN 8
#define TPID_QINQ 0x9100 /* of outer tags before 802.1ad */
#define VLAN_ID 0x0fff   /* of the tag's control information */
#define VLAN_TAGS_MAX 2

/* Of a rule that holds: go on. */
#define NO_REASON DHCP_COUNTER_MAX

/* What follows an EtherType that announces a tag (802.1Q). */
struct vlan_tag {
	__be16 control;
	__be16 next_type;
};

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

#define BOOTP_LEN_MIN 300
#define OPTIONS_LEN_MIN (BOOTP_LEN_MIN - sizeof(struct bootp))

/*
 * Where the parts of a DHCP frame are. Pointers instead of one packed struct: IPv4 starts at
 * octet 14, 18 or 22, and a packed field is read octet by octet, while the machines that run
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

#define HEADERS_LEN (IP_HEADER_LEN + UDP_HEADER_LEN) /* behind those of Ethernet */
#define HEADERS_TOTAL (HEADERS_LEN + sizeof(struct bootp))

/*
 * The frame as it is now. All pointers but `eth` come from one that the compiler takes as it
 * is, because the verifier forgets the bounds of a pointer that is computed a second time.
 */
static __always_inline struct dhcp_frame frame_of(const struct xdp_md *ctx,
						  const struct request_notes *notes)
{
	void *data = (void *)(long)ctx->data;
	void *ip = data + (READ_ONCE(notes->place.ethernet_len) & 31);

	asm volatile("" : "+r"(ip));
	return (struct dhcp_frame){
		.eth = data,
		.ip = ip,
		.udp = ip + IP_HEADER_LEN,
		.bootp = ip + HEADERS_LEN,
		.options = ip + HEADERS_LEN + sizeof(struct bootp),
		.end = (void *)(long)ctx->data_end,
	};
}

static __always_inline bool announces_tag(__be16 type)
{
	return type == bpf_htons(ETH_P_8021Q) || type == bpf_htons(ETH_P_8021AD) ||
	       type == bpf_htons(TPID_QINQ);
}

/* Step over a tag, if `type` announces one and the frame holds it. */
static __always_inline bool take_tag(const struct vlan_tag **tag, const void *end, __be16 *type,
				     __u16 *ret_id)
{
	if (!announces_tag(*type) || (const void *)(*tag + 1) > end)
		return false;
	*ret_id = bpf_ntohs((*tag)->control) & VLAN_ID;
	*type = (*tag)->next_type;
	++*tag;
	return true;
}

/*
 * The first octet behind up to three tags and the EtherType of an IPv4 frame, NULL for another
 * frame. Three, so that a DHCP message behind too many is counted, by rule 3.
 */
static __always_inline const void *behind_tags(const void *data, const void *end,
					       struct frame_place *ret_place)
{
	const struct ethhdr *eth = data;
	const struct vlan_tag *tag = data + ETH_HLEN;
	__u16 third_id;
	__be16 type;

	*ret_place = (struct frame_place){};
	if ((const void *)(eth + 1) > end)
		return NULL;
	type = eth->h_proto;
	if (type != bpf_htons(ETH_P_IP) && take_tag(&tag, end, &type, &ret_place->s_vlan) &&
	    take_tag(&tag, end, &type, &ret_place->c_vlan))
		take_tag(&tag, end, &type, &third_id);
	ret_place->ethernet_len = (const void *)tag - data;
	return type == bpf_htons(ETH_P_IP) ? tag : NULL;
}

/*
 * Rule 1. All other traffic of the interface comes through here, so it costs a few loads: no
 * map, no clock, no counter. The port is looked for behind IP options, so that a DHCP message
 * that has some is counted, by rule 4.
 */
static __always_inline bool is_to_dhcp_server(const struct xdp_md *ctx,
					      struct frame_place *ret_place)
{
	const void *end = (void *)(long)ctx->data_end;
	const struct iphdr *ip = behind_tags((void *)(long)ctx->data, end, ret_place);
	const struct udphdr *udp;

	/* One pointer or NULL: clang would compare the pointer of the one with the bound of the other. */
	asm volatile("" : "+r"(ip));
	if (!ip || (const void *)ip + HEADERS_LEN > end)
		return false;
	if (ip->version != 4 || ip->protocol != IPPROTO_UDP)
		return false;
	udp = (const void *)ip + ip->ihl * 4;
	if ((const void *)(udp + 1) > end)
		return false;
	return udp->dest == bpf_htons(DHCP_SERVER_PORT);
}

/*
 * Rule 3: up to two tags. An inner id behind the id 0, which means "no VLAN", and the id 4095,
 * which means nothing (802.1Q table 9-2), are doubts.
 */
static __always_inline bool has_sound_tags(const struct frame_place *place)
{
	__u32 ethernet_len = READ_ONCE(place->ethernet_len);

	if (ethernet_len == ETH_HLEN)
		return true;
	return ethernet_len <= ETH_HLEN + VLAN_TAGS_MAX * sizeof(struct vlan_tag) &&
	       (READ_ONCE(place->s_vlan) || !READ_ONCE(place->c_vlan)) &&
	       READ_ONCE(place->s_vlan) != VLAN_ID && READ_ONCE(place->c_vlan) != VLAN_ID;
}

/*
 * Rules 4 to 6. On success `*ret_options_len` is the length of the option area, that is of
 * everything behind the cookie, and the frame holds all headers in front of it.
 *
 * Returns the reason to pass, or NO_REASON.
 */
static __always_inline __u32 check_headers(const struct dhcp_frame *frame, __u32 *ret_options_len)
{
	const void *end = frame->end;
	__u32 total;

	/* Rule 1 has seen that they are there, but the verifier has forgotten. */
	if ((const void *)(frame->eth + 1) > frame->end || (const void *)frame->bootp > frame->end)
		return DHCP_pass_length;
	if (frame->ip->ihl != 5)
		return DHCP_pass_ip_header;
	if (frame->ip->frag_off & bpf_htons(IP_MORE_FRAGMENTS | IP_FRAGMENT_OFFSET))
		return DHCP_pass_fragment;

	total = bpf_ntohs(frame->ip->tot_len);
	if (total <= HEADERS_TOTAL || (const void *)frame->ip + total > frame->end)
		return DHCP_pass_length;
	/* Follows from the line above, but the verifier does not see it, and clang may not. */
	asm volatile("" : "+r"(end));
	if ((const void *)frame->options > end)
		return DHCP_pass_length;
	if (bpf_ntohs(frame->udp->len) != total - IP_HEADER_LEN)
		return DHCP_pass_length;

	*ret_options_len = total - HEADERS_TOTAL;
	return NO_REASON;
}

/* Rule 8. */
static __always_inline bool is_bootp_request(const struct bootp *bootp)
{
	return bootp->op == BOOTP_REQUEST && bootp->htype == 1 && bootp->hlen == ETH_ALEN &&
	       bootp->cookie == bpf_htonl(DHCP_COOKIE);
}

/* Rule 10: not what a switch floods, or a bridge shows, on its way to another station. */
static __always_inline bool is_to_port(const struct dhcp_frame *frame,
				       const struct access_port *port)
{
	__u64 to = mac_of(frame->eth->h_dest);

	return to == BROADCAST_MAC || to == mac_of(port->mac);
}

/* Neither a group (bit 0 of the first octet) nor nobody. */
static __always_inline bool is_station(__u64 mac)
{
	return mac && !(mac & 1);
}

/* Rule 15: sender and client can be answered, and are one where no relays stand between. */
static __always_inline bool is_sender_sound(const struct dhcp_frame *frame, bool has_relays)
{
	__u64 client = mac_of(frame->bootp->chaddr);
	__u64 sender = mac_of(frame->eth->h_source);

	return is_station(client) && (sender == client || (has_relays && is_station(sender)));
}

#endif
