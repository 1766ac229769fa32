// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Preloaded into programs that leave their sockets the usual 208 kB, which 270 frames fill. What a
 * load generator drops itself, because others had its processor, no server has lost.
 */
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ROOM (16 << 20)

int socket(int domain, int type, int protocol)
{
	int fd = syscall(SYS_socket, domain, type, protocol), octets = ROOM;

	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &octets, sizeof(octets));
	return fd;
}
