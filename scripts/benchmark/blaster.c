// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * DHCP clients in numbers: a fixed number of exchanges is always under way, every reply is read.
 *
 *   blaster INTERFACE MODE CLIENTS WINDOW SECONDS [FIRST [SERVER]]
 *
 *   discover   DISCOVER, and whatever comes back ends the exchange
 *   new        DISCOVER, OFFER, REQUEST, ACK, once for each client
 *   again      the same again and again, of clients that have done it once before the clock starts
 *   renew      REQUEST with the address that the client got before the clock started, ACK
 *   storm      the same, once for each client and evenly over the time; between every ten of them
 *              a client that is new
 *
 * Clients are FIRST .. FIRST + CLIENTS - 1; chaddr = Ethernet source = 02:be and the number. The
 * low bits of xid name the exchange. One JSON line at the end: what was done in how long, how much
 * of it by clients that are new, how often each kind had to ask again, and how much processor time
 * it took here and in the process SERVER.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define WINDOW_BITS 12
#define WINDOW_MAX (1 << WINDOW_BITS)
#define BATCH 64
#define FRAME_LEN 342 /* 300 BOOTP octets, as most clients send */
#define REPLY_MAX 2048
#define BOOTP_AT 42
#define OPTIONS_AT (BOOTP_AT + 240)
#define NS_PER_S 1000000000LL
#define RETRY_NS (1200 * 1000000LL)
#define SCAN_NS (20 * 1000000LL)
#define SOCKET_BUFFER (16 << 20)
#define STORM_KNOWN 10 /* between two that are new */
#define STORM_GRACE 5 /* seconds for the last ones */

enum mode { MODE_DISCOVER, MODE_NEW, MODE_AGAIN, MODE_RENEW, MODE_STORM, MODES };
enum message { DISCOVER = 1, OFFER = 2, REQUEST = 3, ACK = 5, NAK = 6 };

struct exchange {
	uint32_t xid;
	bool is_busy;
	bool is_new; /* in a storm */
	uint8_t expected; /* message type; 0 = any frame with this xid */
	int64_t sent_ns;
	int64_t begun_ns;
	uint8_t frame[FRAME_LEN];
};

struct load {
	int fd;
	enum mode mode;
	uint32_t first, clients, window;
	uint32_t *addresses; /* of each client, as the last ACK had it */
	bool is_renewing;
	double rate; /* exchanges begun a second; 0 = as many as the window has room for */
	struct exchange exchanges[WINDOW_MAX];
	uint32_t generation;
	uint64_t begun, done, resent, refused, new_done, new_resent;
	int64_t waited_ns;
	struct mmsghdr out[BATCH], in[BATCH];
	struct iovec out_parts[BATCH], in_parts[BATCH];
	unsigned int queued;
	uint8_t replies[BATCH][REPLY_MAX];
};

static int64_t read_clock(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static int64_t now_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

static void fail(const char *what)
{
	fprintf(stderr, "blaster: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void put16(uint8_t *at, uint16_t value)
{
	value = htons(value);
	memcpy(at, &value, sizeof(value));
}

static void put32(uint8_t *at, uint32_t value)
{
	value = htonl(value);
	memcpy(at, &value, sizeof(value));
}

static uint32_t get32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return ntohl(value);
}

static uint16_t ip_checksum(const uint8_t *header)
{
	uint32_t sum = 0;

	for (int i = 0; i < 20; i += 2)
		sum += header[i] << 8 | header[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	sum += sum >> 16;
	return ~sum;
}

static void write_mac(uint8_t *at, uint32_t client)
{
	at[0] = 0x02;
	at[1] = 0xbe;
	put32(at + 2, client);
}

/* A DISCOVER to everybody; UDP without a checksum, which IPv4 allows. */
static void write_discover(struct exchange *exchange, uint32_t client, uint32_t source)
{
	static const uint8_t options[] = { 53, 1, DISCOVER, 55, 4, 1, 3, 6, 51, 255 };
	uint8_t *frame = exchange->frame;
	uint8_t *ip = frame + ETH_HLEN, *udp = ip + 20, *bootp = frame + BOOTP_AT;

	memset(frame, 0, FRAME_LEN);
	memset(frame, 0xff, ETH_ALEN);
	write_mac(frame + ETH_ALEN, client);
	put16(frame + 12, ETH_P_IP);
	ip[0] = 0x45;
	put16(ip + 2, FRAME_LEN - ETH_HLEN);
	ip[8] = 64;
	ip[9] = IPPROTO_UDP;
	put32(ip + 12, source);
	memset(ip + 16, 0xff, 4);
	put16(ip + 10, ip_checksum(ip));
	put16(udp, 68);
	put16(udp + 2, 67);
	put16(udp + 4, FRAME_LEN - ETH_HLEN - 20);
	bootp[0] = 1;
	bootp[1] = 1;
	bootp[2] = ETH_ALEN;
	put32(bootp + 4, exchange->xid);
	write_mac(bootp + 28, client);
	put32(bootp + 236, 0x63825363);
	memcpy(frame + OPTIONS_AT, options, sizeof(options));
}

/* The broadcast of a client that goes on with its address (REBINDING, RFC 2131 4.3.2). */
static void write_renewal(struct exchange *exchange, uint32_t client, uint32_t address)
{
	write_discover(exchange, client, address);
	put32(exchange->frame + BOOTP_AT + 12, address);
	exchange->frame[OPTIONS_AT + 2] = REQUEST;
}

/* Turn the DISCOVER into the REQUEST that takes the offer. */
static void write_request(uint8_t *frame, const uint8_t *address, const uint8_t *server)
{
	uint8_t *option = frame + OPTIONS_AT;

	memcpy(option, (const uint8_t[]){ 53, 1, REQUEST, 50, 4 }, 5);
	memcpy(option + 5, address, 4);
	memcpy(option + 9, (const uint8_t[]){ 54, 4 }, 2);
	memcpy(option + 11, server, 4);
	memcpy(option + 15, (const uint8_t[]){ 55, 4, 1, 3, 6, 51, 255 }, 7);
}

/* The value of an option, NULL if it is not there or shorter than wanted. */
static const uint8_t *find_option(const uint8_t *frame, size_t len, uint8_t code, uint8_t wanted)
{
	size_t at = OPTIONS_AT;

	while (at + 1 < len && frame[at] != 255) {
		if (!frame[at]) {
			at++;
			continue;
		}
		if (at + 2 + frame[at + 1] > len)
			return NULL;
		if (frame[at] == code)
			return frame[at + 1] >= wanted ? frame + at + 2 : NULL;
		at += 2 + frame[at + 1];
	}
	return NULL;
}

static void flush(struct load *load)
{
	unsigned int sent = 0;

	while (sent < load->queued) {
		int count = sendmmsg(load->fd, load->out + sent, load->queued - sent, 0);

		if (count > 0)
			sent += count;
		else if (errno == ENOBUFS || errno == EAGAIN)
			usleep(100); /* the interface is busy */
		else
			fail("sendmmsg");
	}
	load->queued = 0;
}

static void queue(struct load *load, struct exchange *exchange, int64_t now)
{
	exchange->sent_ns = now;
	load->out_parts[load->queued].iov_base = exchange->frame;
	load->out_parts[load->queued].iov_len = FRAME_LEN;
	if (++load->queued == BATCH)
		flush(load);
}

static void begin(struct load *load, struct exchange *exchange, int64_t now)
{
	uint32_t number = exchange - load->exchanges, client = load->begun % load->clients;
	bool is_storm = load->is_renewing && load->mode == MODE_STORM;

	exchange->is_new = is_storm && load->begun % (STORM_KNOWN + 1) == STORM_KNOWN;
	if (exchange->is_new)
		client = load->clients + load->begun / (STORM_KNOWN + 1);
	else if (is_storm)
		client = load->begun - load->begun / (STORM_KNOWN + 1);
	load->begun++;
	exchange->xid = ++load->generation << WINDOW_BITS | number;
	exchange->is_busy = true;
	exchange->begun_ns = now;
	if (load->is_renewing && !exchange->is_new) {
		exchange->expected = ACK;
		write_renewal(exchange, load->first + client, load->addresses[client]);
	} else {
		exchange->expected = load->mode == MODE_DISCOVER ? 0 : OFFER;
		write_discover(exchange, load->first + client, 0);
	}
	queue(load, exchange, now);
}

static void finish(struct load *load, struct exchange *exchange, int64_t now)
{
	exchange->is_busy = false;
	load->waited_ns += now - exchange->begun_ns;
	load->done++;
	load->new_done += exchange->is_new;
}

static void note_address(struct load *load, const uint8_t *reply)
{
	uint32_t client = get32(reply + BOOTP_AT + 30) - load->first;

	if (client < load->clients)
		load->addresses[client] = get32(reply + BOOTP_AT + 16);
}

static void take_reply(struct load *load, const uint8_t *frame, size_t len, int64_t now)
{
	uint32_t xid;
	struct exchange *exchange;
	const uint8_t *type, *server;

	if (len < OPTIONS_AT + 3)
		return;
	xid = get32(frame + BOOTP_AT + 4);
	exchange = &load->exchanges[xid & (WINDOW_MAX - 1)];
	if (!exchange->is_busy || exchange->xid != xid)
		return;
	if (!exchange->expected) {
		finish(load, exchange, now);
		return;
	}
	type = find_option(frame, len, 53, 1);
	if (type && *type == NAK) {
		load->refused++;
		exchange->is_busy = false;
	} else if (!type || *type != exchange->expected) {
		return;
	} else if (exchange->expected == ACK) {
		note_address(load, frame);
		finish(load, exchange, now);
	} else {
		server = find_option(frame, len, 54, 4);
		if (!server)
			return;
		write_request(exchange->frame, frame + BOOTP_AT + 16, server);
		exchange->expected = ACK;
		queue(load, exchange, now);
	}
}

static bool receive(struct load *load)
{
	int count = recvmmsg(load->fd, load->in, BATCH, MSG_DONTWAIT, NULL);
	int64_t now;

	if (count <= 0)
		return false;
	now = now_ns();
	for (int i = 0; i < count; i++)
		take_reply(load, load->replies[i], load->in[i].msg_len, now);
	return true;
}

static void resend_late(struct load *load, int64_t now)
{
	for (uint32_t i = 0; i < load->window; i++) {
		struct exchange *exchange = &load->exchanges[i];

		if (exchange->is_busy && now - exchange->sent_ns > RETRY_NS) {
			load->resent++;
			load->new_resent += exchange->is_new;
			queue(load, exchange, now);
		}
	}
}

/* Returns seconds taken. `limit` exchanges at most; 0 = as many as go into the time. */
static double run(struct load *load, uint64_t limit, double seconds)
{
	struct pollfd ready = { .fd = load->fd, .events = POLLIN };
	int64_t start = now_ns(), end = start + seconds * NS_PER_S, scanned = start, now = start;

	load->begun = load->done = load->resent = load->refused = 0;
	load->new_done = load->new_resent = 0;
	load->waited_ns = 0;
	memset(load->exchanges, 0, sizeof(load->exchanges));
	while (now < end && (!limit || load->done + load->refused < limit)) {
		for (uint32_t i = 0; i < load->window; i++) {
			if (load->exchanges[i].is_busy || (limit && load->begun >= limit))
				continue;
			if (load->rate && load->begun >= load->rate * (now - start) / NS_PER_S)
				break;
			begin(load, &load->exchanges[i], now);
		}
		flush(load);
		if (!receive(load))
			poll(&ready, 1, load->rate ? 1 : 10);
		now = now_ns();
		if (now - scanned > SCAN_NS) {
			resend_late(load, now);
			scanned = now;
		}
	}
	return (double)(now - start) / NS_PER_S;
}

static int open_socket(const char *interface)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP) };
	int fd = socket(AF_PACKET, SOCK_RAW, 0), size = SOCKET_BUFFER, one = 1;

	address.sll_ifindex = if_nametoindex(interface);
	if (fd < 0 || !address.sll_ifindex)
		fail(interface);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) ||
	    setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one)) ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)))
		fail(interface);
	return fd;
}

static void prepare(struct load *load)
{
	for (int i = 0; i < BATCH; i++) {
		load->out[i].msg_hdr.msg_iov = &load->out_parts[i];
		load->out[i].msg_hdr.msg_iovlen = 1;
		load->in_parts[i].iov_base = load->replies[i];
		load->in_parts[i].iov_len = REPLY_MAX;
		load->in[i].msg_hdr.msg_iov = &load->in_parts[i];
		load->in[i].msg_hdr.msg_iovlen = 1;
	}
}

static int usage(void)
{
	fputs("blaster INTERFACE discover|new|again|renew|storm CLIENTS WINDOW SECONDS "
	      "[FIRST [SERVER]]\n", stderr);
	return 2;
}

int main(int argc, char **argv)
{
	static const char *const modes[] = { "discover", "new", "again", "renew", "storm" };
	static struct load load;
	clockid_t server_clock = CLOCK_PROCESS_CPUTIME_ID;
	double seconds, taken, busy, served;
	uint64_t limit = 0;
	unsigned int mode = 0;

	if (argc < 6)
		return usage();
	while (mode < MODES && strcmp(argv[2], modes[mode]))
		mode++;
	load.mode = mode;
	load.clients = strtoul(argv[3], NULL, 10);
	load.window = strtoul(argv[4], NULL, 10);
	seconds = strtod(argv[5], NULL);
	load.first = argc > 6 ? strtoul(argv[6], NULL, 10) : 0;
	if (argc > 7 && clock_getcpuclockid(atoi(argv[7]), &server_clock))
		return usage();
	if (mode == MODES || !load.clients || !load.window || load.window > WINDOW_MAX)
		return usage();
	if (load.mode != MODE_DISCOVER && load.window > load.clients)
		load.window = load.clients; /* one exchange of a client at a time */
	load.addresses = calloc(load.clients, sizeof(*load.addresses));
	if (!load.addresses)
		fail("calloc");
	load.fd = open_socket(argv[1]);
	prepare(&load);

	if (load.mode >= MODE_AGAIN)
		run(&load, load.clients, 240);
	load.is_renewing = load.mode >= MODE_RENEW;
	if (load.mode == MODE_NEW)
		limit = load.clients;
	if (load.mode == MODE_STORM) {
		limit = load.clients + load.clients / STORM_KNOWN;
		load.rate = limit / seconds;
		seconds += STORM_GRACE;
	}
	busy = read_clock(CLOCK_PROCESS_CPUTIME_ID) / 1e9;
	served = read_clock(server_clock) / 1e9;
	taken = run(&load, limit, seconds);
	busy = read_clock(CLOCK_PROCESS_CPUTIME_ID) / 1e9 - busy;
	served = argc > 7 ? read_clock(server_clock) / 1e9 - served : 0;
	printf("{\"done\": %llu, \"seconds\": %.3f, \"cpu_s\": %.3f, \"server_s\": %.3f, "
	       "\"per_s\": %.1f, \"resent\": %llu, \"refused\": %llu, \"new_done\": %llu, "
	       "\"new_resent\": %llu, \"mean_us\": %.1f}\n",
	       (unsigned long long)load.done, taken, busy, served, load.done / taken,
	       (unsigned long long)load.resent, (unsigned long long)load.refused,
	       (unsigned long long)load.new_done, (unsigned long long)load.new_resent,
	       load.done ? load.waited_ns / 1e3 / load.done : 0.0);
	return 0;
}
