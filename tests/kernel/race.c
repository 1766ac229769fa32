/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Element reuse: two threads take bindings out of subscriber_pools and put others in, so that the
 * memory of one becomes another's, while a third asks for them. Whoever is told an address that is
 * not his is counted.
 *
 *   race MAP PROGRAM SECONDS <subjects      prints "asked answered foreign swaps"
 */
#include <linux/if_ether.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <bpf/bpf.h>

#define SUBJECTS 64
#define SWAPPERS 2
#define VALUE_LEN 48
#define FRAME_LEN 342
#define YIADDR_AT (ETH_HLEN + 28 + 16)
#define XDP_TX 3
#define REPLY_ROOM 2048

struct subject {
	uint64_t key;
	uint8_t value[VALUE_LEN];
	uint8_t address[4];
	uint8_t frame[FRAME_LEN];
} __attribute__((packed));

static struct subject subjects[SUBJECTS];
static int map_fd, program_fd;
static atomic_bool is_over;
static atomic_ulong swaps;

static void stay_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

/* Each thread has its half of the subjects; one of two neighbours is in the map. */
static void *swap(void *argument)
{
	int half = (int)(intptr_t)argument * (SUBJECTS / SWAPPERS);
	unsigned int seed = half + 1;

	stay_on(1);
	while (!is_over) {
		int out = half + rand_r(&seed) % (SUBJECTS / SWAPPERS), in = out ^ 1;
		uint64_t key = subjects[out].key;

		if (bpf_map_delete_elem(map_fd, &key))
			continue;
		key = subjects[in].key;
		bpf_map_update_elem(map_fd, &key, subjects[in].value, BPF_ANY);
		swaps++;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	static uint8_t reply[REPLY_ROOM];
	unsigned long asked = 0, answered = 0, foreign = 0;
	pthread_t threads[SWAPPERS];
	struct timespec now;
	time_t end;

	if (argc != 4 || fread(subjects, sizeof(subjects), 1, stdin) != 1)
		return 2;
	map_fd = bpf_obj_get(argv[1]);
	program_fd = bpf_obj_get(argv[2]);
	if (map_fd < 0 || program_fd < 0)
		return 3;
	for (int i = 0; i < SUBJECTS; i += 2) {
		uint64_t key = subjects[i].key;

		bpf_map_update_elem(map_fd, &key, subjects[i].value, BPF_ANY);
	}
	stay_on(0);
	for (intptr_t i = 0; i < SWAPPERS; i++)
		pthread_create(&threads[i], NULL, swap, (void *)i);
	clock_gettime(CLOCK_MONOTONIC, &now);
	end = now.tv_sec + atoi(argv[3]);
	while (now.tv_sec < end) {
		for (int i = 0; i < SUBJECTS; i++) {
			struct xdp_md context = { .data_end = FRAME_LEN, .ingress_ifindex = 1 };
			LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = subjects[i].frame,
				    .data_size_in = FRAME_LEN, .data_out = reply,
				    .data_size_out = sizeof(reply), .ctx_in = &context,
				    .ctx_size_in = sizeof(context), .repeat = 1);

			if (bpf_prog_test_run_opts(program_fd, &options))
				return 4;
			asked++;
			if (options.retval != XDP_TX)
				continue;
			answered++;
			foreign += memcmp(reply + YIADDR_AT, subjects[i].address, 4) != 0;
		}
		clock_gettime(CLOCK_MONOTONIC, &now);
	}
	is_over = true;
	for (int i = 0; i < SWAPPERS; i++)
		pthread_join(threads[i], NULL);
	printf("%lu %lu %lu %lu\n", asked, answered, foreign, (unsigned long)swaps);
	return 0;
}
