/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the program notes of a request while it reads it.
 *
 * The notes are a per-CPU map value and not variables: of a map value the verifier knows
 * nothing, so it takes paths that differ only in what they noted for one, and looks at one.
 */
#ifndef DHCP_NOTES_H
#define DHCP_NOTES_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "maps.h"
#include "tables.h"

#define DHCP_OPTION_VALUE_MAX 255
#define DHCP_OPTION_MAX (2 + DHCP_OPTION_VALUE_MAX) /* with code and length */

/* What the program tells apart; an option that it does not read is OTHER. */
enum option_slot {
	SLOT_OTHER,
	SLOT_REQUESTED_ADDRESS,
	SLOT_OVERLOAD,
	SLOT_MESSAGE_TYPE,
	SLOT_SERVER_ID,
	SLOT_PARAMETERS,
	SLOT_MAX_SIZE,
	SLOT_CLIENT_ID,
	SLOT_RELAY_AGENT,
	SLOT_HOST_NAME,
	SLOT_COUNT = 16, /* a power of two, to be masked with */
};

/* An option that the reply carries back. */
struct echoed {
	__u32 len; /* with code and length, 0 = absent */
	__u32 reserved;
	__u64 sum; /* of its words, see checksum.h */
	__u8 octets[DHCP_OPTION_MAX + 7 + 8]; /* zero to a whole word; room to read one more */
};

/* A pool's options without those that a client is not sent, or that a reply does not have. */
struct chosen {
	__u32 at;   /* of the next option in the pool's */
	__u32 from; /* in the pool's, up to here is copied ... */
	__u32 to;   /* ... to here; at `len` all that was chosen is */
	__u32 len;  /* 0 = nothing was chosen */
	__u32 room; /* for more */
	__u32 reserved;
	__u8 options[DHCP_POOL_OPTIONS_MAX + 8]; /* zero after len */
};

/* A pool as it was found in ip_pools when that had this version. */
struct known_pool {
	__u64 version; /* 0 = no pool */
	__u64 options_sum; /* of the first OPTIONS_LEN_MIN octets */
	__u32 id;
	__u32 reserved;
	struct ip_pool pool;
};

#define KNOWN_POOLS 8 /* a power of two, to be masked with */

/* Where IPv4 starts, and the VLAN ids in front of it; 0 = none. */
struct frame_place {
	__u32 ethernet_len;
	__u16 s_vlan;
	__u16 c_vlan;
};

/* Positions count from the end of the cookie. What is in front of `found_at` starts as 0. */
struct request_notes {
	struct frame_place place;
	__u64 mac; /* chaddr; 0 = not read */
	__u32 reply;	  /* the verdict with which it is answered */
	__u32 is_trusted; /* rules 10 to 15 hold: the MAC speaks, or who may speak for it */
	__be32 requested_be;
	__be32 server_be;
	__u16 max_size; /* option 57, host order; 0 = absent */
	__u8 message_type;
	__u8 key_mode; /* of the port, read once: the agent may change it meanwhile */
	__u8 offers_stock; /* so, too */
	__u64 subs_seen;	    /* sub-options of option 82, bit by code */
	__u64 end_at;		    /* of END */
	__u64 seen;		    /* see SEEN_AGAIN */
	__u16 found_at[SLOT_COUNT]; /* where seen */
	__u8 sub_found_at[16];	    /* by code, where subs_seen says so */
	struct echoed client_id;
	struct echoed relay_agent;
	struct circuit circuit; /* in mode CIRCUIT; len 0 = not read */
	__u64 parameters[4];	/* bit by code: what option 55 asks for */
	struct chosen chosen;
	__u64 options_sum;	/* of OPTIONS_LEN_MIN octets of the pool's options, or of `chosen` */
	__u64 sum;		/* of the reply's words so far, see reply.h */
	struct notice notice;	/* for the agent, see notices.h */
	struct known_pool pools[KNOWN_POOLS]; /* stay from one packet to the next */
	struct ask ask;		/* for the agent, see asks.h */
};

/* `seen` has a bit for each slot, above them one for each that was seen again, and a count. */
#define SEEN_AGAIN SLOT_COUNT
#define SEEN_ONE (1ULL << 2 * SLOT_COUNT)

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct request_notes);
} scratch SEC(".maps");

/* What was noted of the packet that this processor looks at. */
static __always_inline struct request_notes *notes_so_far(void)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&scratch, &key);
}

static __always_inline struct request_notes *new_notes(const struct frame_place *place)
{
	struct request_notes *notes = notes_so_far();

	if (!notes)
		return NULL;
	__builtin_memset(notes, 0, offsetof(struct request_notes, found_at));
	notes->client_id.len = 0;
	notes->relay_agent.len = 0;
	notes->chosen.len = 0;
	notes->circuit.len = 0;
	notes->place = *place;
	barrier();
	return notes;
}

static __always_inline bool has_option(const struct request_notes *notes, enum option_slot slot)
{
	return READ_ONCE(notes->seen) & 1ULL << slot;
}

#endif
