/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The ABI between the kernel program and the agent: map shapes, counters, constants.
 * edge_agent/datapath/abi.py mirrors it and a test compares the mirror with this object's BTF.
 *
 * Suffix _be: network byte order. Suffix _boot_ns: CLOCK_BOOTTIME, nanoseconds. Suffix _elapsed_ns:
 * the agent's own clock, which nobody slews or steps.
 */
#ifndef DHCP_MAPS_H
#define DHCP_MAPS_H

#define DHCP_ABI_MAGIC 0x4c53410b /* 'L' 'S' 'A', version 11 */
#define DHCP_MAX_SUBSCRIBERS 1000000
#define DHCP_MAX_POOLS 10000
#define DHCP_MAX_PORTS 65536 /* access_ports is indexed by ifindex */
#define DHCP_MAX_RELAYS 4    /* of one port */
#define DHCP_SLOTS_PER_GROUP 4 /* of promises: what the processor fetches at once */
#define DHCP_KNOWN_BITS 24 /* of a place in known_macs */
#define DHCP_STOCK_SIZE 65536
#define DHCP_STOCK_PER_GROUP 8 /* of the stock: where one subscriber is looked for */
#define DHCP_CIRCUIT_MAX 64  /* octets of a circuit id that a line may have */
#define DHCP_POOL_OPTIONS_MAX 512
#define DHCP_ON_REQUEST_MAX 32 /* options of a pool for those who ask for them */
#define DHCP_NOTICES_SIZE 65536 /* octets of the ring */
#define DHCP_ASKS_SIZE 4194304	/* octets of the ring */
#define DHCP_ASK_FRAME_MAX 640	/* octets of a frame that is handed over */
#define DHCP_MIN_GRANT_S 120
#define DHCP_SHARED_RATE 12000 /* a second, of what is passed up of lines that nobody can tell apart */
#define DHCP_SHARED_BURST 20000
#define DHCP_DEAD_MAN_NS (900ULL * 1000000000ULL)

/*
 * Counters, append-only; a retired one keeps its place. One list makes the enum and the struct,
 * so bpftool and the agent (through BTF) show the same names.
 *
 *   offer, ack, ...   answered here (XDP_TX)
 *   pass_...          passed up unmodified, by the first reason that applied
 *   asked             handed over to the agent in the ring `asks`, and not passed up
 *   drop_...          would have been passed up, but there were too many
 */
#define DHCP_COUNTERS(X)        \
	X(offer)                \
	X(ack)                  \
	X(pass_port_unknown)    \
	X(pass_ip_header)       \
	X(pass_fragment)        \
	X(pass_length)          \
	X(pass_bootp_header)    \
	X(pass_options)         \
	X(pass_message_type)    \
	X(pass_relayed)         \
	X(pass_source_mac)      \
	X(pass_not_addressed)   \
	X(pass_abi)             \
	X(pass_gate_closed)     \
	X(pass_agent_silent)    \
	X(pass_horizon)         \
	X(pass_unknown_client)  \
	X(pass_check_word)      \
	X(pass_other_line)      \
	X(pass_unknown_pool)    \
	X(pass_other_server)    \
	X(pass_other_address)   \
	X(pass_reply_space)     \
	X(pass_promise)         \
	X(pass_vlan_tags)       \
	X(pass_untrusted_relay) \
	X(pass_relay_unknown)   \
	X(pass_circuit)         \
	X(drop_line_rate)       \
	X(drop_mac_rate)        \
	X(pass_checksum)        \
	X(pass_ethernet)        \
	X(inform_ack)           \
	X(nak)                  \
	X(asked)

enum dhcp_counter {
#define X(name) DHCP_##name,
	DHCP_COUNTERS(X)
#undef X
	DHCP_COUNTER_MAX
};

/* stats_map: PERCPU_ARRAY, one entry, key 0. */
struct dhcp_stats {
#define X(name) __u64 name;
	DHCP_COUNTERS(X)
#undef X
};

/* What a port finds a subscriber by. */
enum dhcp_key_mode {
	DHCP_KEY_MAC,	  /* the MAC: one binding of a MAC at a site is served here */
	DHCP_KEY_LINE,	  /* MAC and line */
	DHCP_KEY_CIRCUIT, /* MAC and line, which is what the relay says: giaddr and circuit id */
};

/*
 * subscriber_pools: HASH, key = 8 octets, "Hash" in docs/replies.md.
 *
 *   MAC      the MAC in wire order, then a u16 that is 0 for the binding served here (the agent
 *            keeps a MAC's bindings on further lines under 1, 2, ...)
 *   LINE     a hash of MAC and line in seven octets, 0x40 in the last
 *   CIRCUIT  a hash of MAC, giaddr and circuit id in seven octets, 0x20 in the last
 *
 * So keys of one kind are never keys of another. A hash may hit a stranger's value: the value
 * says itself whose it is.
 *
 * A value read from a BPF hash can become another subscriber's while it is read, so the program
 * copies it to its stack and trusts the copy only if `check` fits (see dhcp_check_word).
 */
struct pool_assignment {
	__be32 ip_be;
	__u32 pool_id;
	__u32 slot;    /* index into promises */
	__u32 ifindex; /* the line: interface ... */
	__u16 s_vlan;  /* ... outer and ... */
	__u16 c_vlan;  /* ... inner VLAN id, 0 = none */
	__u32 check;
	__u64 seq; /* of the LeaseAssigned event */
	__u8 mac[6]; /* whose it is */
	__u8 reserved[2];
};

#define DHCP_KEY_TAG_LINE 0x40
#define DHCP_KEY_TAG_CIRCUIT 0x20

/*
 * circuits: ARRAY by slot, the line of a binding in mode CIRCUIT. One entry where no port is in
 * that mode. Written before the binding; a slot is used again only when nobody can read the
 * binding that had it.
 */
struct circuit {
	__be32 giaddr_be; /* 0 = of an access node */
	__u32 len; /* 1..DHCP_CIRCUIT_MAX */
	__u8 octets[DHCP_CIRCUIT_MAX]; /* sub-option 1 of option 82, zero after len */
} __attribute__((aligned(8)));

/*
 * ip_pools: HASH, key = pool number.
 *
 * `options` is the reply's option field as far as it is the same for every client, rendered by
 * the agent. It always begins with
 *     53 1 ?   54 4 <server id>   51 4 ????   58 4 ????   59 4 ????
 * whose ? are 0, and patched by the program (offsets below). Up to always_len follows what every
 * client is sent, and behind it at most DHCP_ON_REQUEST_MAX whole options for those who ask for
 * them (option 55); no END.
 */
struct ip_pool {
	__be32 network_be;
	__be32 netmask_be;
	__be32 server_id_be; /* source address and option 54 of replies */
	__u32 lease_time_s;  /* L */
	__u32 options_len;
	__u32 always_len; /* of it, what every client is sent */
	__u8 options[DHCP_POOL_OPTIONS_MAX]; /* zero after options_len */
	__u8 name[32]; /* for people: zero-terminated, not read here */
};

#define DHCP_OPT_AT_TYPE 2
#define DHCP_OPT_AT_TIMES 9 /* 51, 58 and 59, which not every reply has */
#define DHCP_OPT_AT_LEASE 11
#define DHCP_OPT_AT_T1 17
#define DHCP_OPT_AT_T2 23
#define DHCP_OPT_FIXED_LEN 27

/*
 * promises: ARRAY by slot, memory-mapped by the agent. P, the end of the latest promise made to
 * the holder, is the larger of the two: each side writes only its own, so neither erases the
 * other's. Both only grow; a slot used again errs on the safe side. A binding may have any slot, and
 * has, where there is room, one of the two groups that its key says ("Hash" in docs/replies.md).
 */
struct promise {
	__u64 kernel_boot_ns;
	__u64 agent_boot_ns;
};

/*
 * known_macs: ARRAY of 64-bit words, memory-mapped by the agent, its only writer: of which MACs
 * anything was ever written into subscriber_pools. The place of a MAC, a number whose highest
 * octet is the first, is the upper DHCP_KNOWN_BITS of its product with KNOWN_SPREAD (stock.h); its
 * bit is number place % 64 of word place / 64. A bit may be another's.
 *
 * stock: ARRAY, memory-mapped by the agent: addresses that strangers are offered ("Stock" in
 * docs/replies.md). The program writes only `key`, from 0 to the one that it offers to.
 */
struct stocked {
	__u64 key; /* of subscriber_pools: whom it is offered to, 0 = nobody yet */
	__u64 until_boot_ns; /* offered no more then; 0 = no address here */
	__be32 ip_be;
	__u32 pool_id;
	__be32 link_be; /* giaddr of those it is for, 0 = clients themselves */
	__u32 reserved;
};

/* A token bucket: one token an interval, as many as fit the window. */
struct limit {
	__u64 interval_ns; /* 0 = no limit */
	__u64 window_ns;
};

/* Who speaks at a port, so whose option 82 counts. */
enum dhcp_speaker {
	DHCP_CLIENTS,	  /* themselves, and nobody writes option 82 */
	DHCP_RELAYS,	  /* those of relays_be, for clients behind them */
	DHCP_ACCESS_NODE, /* clients, whose frames an access node marks (TR-101): giaddr is 0 */
};

/* access_ports: ARRAY by ifindex; `enabled` 0 = not ours. */
struct access_port {
	__u8 mac[6]; /* source address of replies */
	__u8 enabled;
	__u8 speaker; /* enum dhcp_speaker */
	__be32 relays_be[DHCP_MAX_RELAYS]; /* giaddr of each; 0 = none */
	__u32 key_mode; /* enum dhcp_key_mode */
	__u32 offers_stock; /* 1 = strangers are offered addresses of the stock */
	struct limit line_limit; /* of what is passed up from one line ... */
	struct limit mac_limit;	 /* ... and from one MAC */
};

/*
 * notices: RINGBUF, what the agent is told beside the counters. Never one for each packet: a line
 * has tokens of its own for each kind, and what does not fit is lost. Nobody is woken.
 */
enum dhcp_notice_kind {
	DHCP_NOTICE_FIRST_ACK = 1, /* where no promise stood before */
	DHCP_NOTICE_SHORT_GRANT,   /* g < L: the horizon is near */
	DHCP_NOTICE_SUSPECT,	   /* a sender who claims what is not so, or asks too much */
};

struct notice {
	__u64 at_boot_ns;
	__u64 seq;    /* of the binding that was answered from, 0 = none */
	__u32 kind;   /* enum dhcp_notice_kind */
	__u32 reason; /* enum dhcp_counter: the verdict */
	__u32 ifindex;
	__u8 mac[6]; /* the client's, 0 = the message could not be read */
	__u16 s_vlan;
	__u8 sender[6]; /* of a suspect: the Ethernet source */
	__u16 c_vlan;
	__be32 ip_be; /* of that binding, 0 = none */
};

/*
 * asks: RINGBUF, REQUESTs of strangers for what the stock offered them: what the agent has to ask
 * the allocator for, as the program read it. The agent is woken. What does not fit is passed up.
 */
struct ask {
	__u64 at_boot_ns;
	__u64 mac;    /* a number whose highest octet is the first; as addresses here, in host order */
	__u32 ip;     /* that he asks for */
	__u32 server; /* that offered it */
	__u32 link;   /* giaddr, 0 = none */
	__u32 ifindex;
	__u16 s_vlan;
	__u16 c_vlan;
	__u16 len;	/* of the frame */
	__u16 host_at;	/* in the frame: value of option 12 ... */
	__u32 host_len; /* ... and its length, 0 = absent */
	__u32 reserved;
	struct circuit circuit; /* in mode CIRCUIT; else len is 0 */
	__u8 frame[DHCP_ASK_FRAME_MAX]; /* as it came in; nothing behind len is anything */
};

/* site_state: ARRAY, one entry, key 0, memory-mapped by the agent, its only writer. */
struct site_state {
	__u32 abi_magic;
	__u32 gate;             /* 1 = may answer */
	__u64 held_until_elapsed_ns; /* `promises` may look shorter than they are until then */
	__u64 horizon_boot_ns;  /* E: no promise beyond it */
	__u64 touched_boot_ns;  /* the agent was alive ... */
	__u64 touched_elapsed_ns; /* ... and what its own clock said then */
	__u64 epoch;            /* of the last applied event */
	__u64 incarnation;      /* random, made with the maps: names the life of `promises` */
	__u64 cursor_lo;        /* applied up to this seq ... */
	__u64 cursor_hi;        /* ... and being applied up to this one; lo < hi = torn */
	__u64 cursor_commit_ms; /* entry id of cursor_lo is <commit_ms>-<lo> */
	__u8 cursor_hash[8];    /* h of cursor_lo */
	__u8 genesis[16];       /* of the log that the maps are a projection of */
	__u64 lines;            /* fingerprint of the interfaces that they were made for */
	__u64 recovering;       /* 1 = the log has lost events, and not heard of all yet */
	__u64 current_until_boot_ns; /* the tables are what the log says: only then NAK is said */
	__u64 pools_version;    /* raised after every write to ip_pools, of which programs keep copies */
	__u64 slot_groups;      /* whole groups of promises */
	__u64 stock_groups;     /* of the stock, how many are in use */
};

#endif
