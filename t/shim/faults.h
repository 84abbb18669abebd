/*
 * faults.h - the page that faults.c, preloaded into a daemon, shares with the test that started it. t/system/faults.py writes the same
 * layout; `size` and `rule_size` tell whether they mean the same.
 */
#ifndef FAULTS_H
#define FAULTS_H

#include <stdint.h>

enum { FAULTS_MAGIC = 0x68734661, FAULTS_RULES = 32, FAULTS_NEEDLE = 32, FAULTS_PORTS = 8 };

/* Bits of rule.calls. */
enum faults_call {
	CALL_CREATE = 1 << 0, /* open with O_CREAT or O_TMPFILE */
	CALL_OPEN = 1 << 1,   /* any other */
	CALL_WRITE = 1 << 2,  /* write, writev; on a socket it is CALL_SEND */
	CALL_PWRITE = 1 << 3,
	CALL_FSYNC = 1 << 4,
	CALL_FDATASYNC = 1 << 5,
	CALL_RENAME = 1 << 6,
	CALL_LINK = 1 << 7,
	CALL_UNLINK = 1 << 8,
	CALL_FALLOCATE = 1 << 9,
	CALL_TRUNCATE = 1 << 10,
	CALL_CLOSE = 1 << 11,
	CALL_CONNECT = 1 << 12,
	CALL_SEND = 1 << 13,  /* send, sendto, sendmsg */
	CALL_RECV = 1 << 14,  /* recv, recvfrom, recvmsg, and read of a socket */
	CALL_READ = 1 << 15,  /* read, pread, readv of anything else */
	CALL_EPOLL = 1 << 16, /* epoll_wait */
	CALL_STATFS = 1 << 17,
	CALL_MKDIR = 1 << 18,
	CALL_MMAP = 1 << 19,  /* of a file */
	CALL_MALLOC = 1 << 20 /* malloc, calloc, realloc; not where a sanitizer has its own */
};

/* Bits of rule.places, what the call is about; `to` of a rename or link has its own. */
enum faults_place {
	PLACE_SPOOL = 1 << 0,     /* the spool directory itself */
	PLACE_TMP_DIR = 1 << 1,
	PLACE_TMP = 1 << 2,       /* a file in it */
	PLACE_MAIL_DIR = 1 << 3,
	PLACE_MAIL = 1 << 4,
	PLACE_NOTE_DIR = 1 << 5,
	PLACE_NOTE = 1 << 6,
	PLACE_DAMAGED_DIR = 1 << 7,
	PLACE_DAMAGED = 1 << 8,
	PLACE_BELOW = 1 << 9,     /* anything else below the spool directory */
	PLACE_ELSEWHERE = 1 << 10,
	PLACE_PEER = 1 << 11,     /* TCP, the other end's port is rule.port */
	PLACE_LOCAL = 1 << 12,    /* TCP, our port is rule.port */
	PLACE_UNIX = 1 << 13      /* a socket between processes */
};

enum faults_action {
	ACT_COUNT,
	ACT_FAIL,  /* errno is rule.error; 0 for a call that reads: the end of the stream */
	ACT_SHORT, /* rule.octets at most */
	ACT_KILL,  /* this process, SIGKILL */
	ACT_DOOM,  /* all processes of the daemon, SIGKILL */
	ACT_PAUSE  /* until rule.gate is not 0 */
};

enum {
	FAULTS_HALF = 0xffffffff,
	FAULTS_EVER = 0xffffffff,
	FAULTS_BUT = 0x80000000 /* and how many octets are left out at the end */
};

struct faults_rule {
	uint32_t calls, places, to; /* to: 0 is any */
	uint16_t port;              /* 0: any */
	uint16_t needle_octets;
	char role[16];              /* the process's name begins so; empty: any */
	unsigned char needle[FAULTS_NEEDLE]; /* the octets written or read hold it */
	uint32_t first, last;       /* matches, from 1, on which it acts; first 0: none */
	uint32_t after;             /* acts when the call is done, not before */
	uint32_t action;
	int32_t error;
	uint32_t octets;            /* a write: so many are written before it acts; FAULTS_HALF: half of them; FAULTS_BUT */
	uint32_t matched, acted;    /* counted by all processes */
	uint32_t gate, held;        /* held: processes that wait at it */
};

struct faults_page {
	uint32_t magic, size, rule_size;
	uint32_t calls;             /* of all rules: any other is not looked at */
	uint32_t supervisor;        /* pid */
	uint32_t doom;
	int64_t clock_s;            /* added to the wall clock */
	char spool[256];            /* its true path */
	/* What is written down, in the order it was done; 0: nothing. */
	uint64_t record_room, record_at;
	uint64_t record_begin;      /* in the file */
	uint32_t record_lock;
	uint32_t record_lost;       /* there was no room for so many */
	uint16_t ports[FAULTS_PORTS]; /* what is said to a client of these, or to a next hop there, is written down as well */
	struct faults_rule rules[FAULTS_RULES];
};

/* A line of the record, then names and octets; lengths are rounded up to 8 together. */
struct faults_line {
	uint32_t octets;            /* of the line with all */
	uint32_t call;              /* one bit of enum faults_call */
	uint64_t inode;
	uint64_t at;                /* offset in the file, or its new length */
	uint32_t path_octets, to_octets, data_octets;
	uint32_t pid;
};

#endif
