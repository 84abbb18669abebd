/*
 * limits.h - every quantity a peer can raise: its value, where that comes
 * from, and what happens above it. What an operator may change stands in
 * config/conf_key.def instead, with its range.
 */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

enum {
	/* name = value                     unit, source: answer above it */
	LIMIT_COMMAND_LINE = 4096,       /* octets with CRLF; RFC 5321 4.5.3.1.4 asks 512, extensions add: 500 5.5.2, input up to the line end dropped */
	LIMIT_LINE_DROP = 65536,         /* octets of a line above its limit that are dropped: 500 5.5.2, close */
	LIMIT_PATH = 1024,               /* octets; RFC 5321 4.5.3.1.3 asks 256, RFC 6531 more: 501 5.1.3 or 5.1.7 */
	LIMIT_ADDR_LIST = 65536,         /* octets of the values of all From fields: no address list, so From is not Authentic */
	LIMIT_VISIBLE = 262144,          /* octets of all To and Cc fields that are read for who may share a copy: whoever stands in others has one alone */
	LIMIT_DOMAIN = 255,              /* octets, two more than as text; RFC 1035 2.3.4: no domain, a key name does not exist */
	LIMIT_PARAMS = 16,               /* ESMTP parameters of a command: 555 5.5.4 */
	LIMIT_ENVID = 100,               /* octets of ENVID=; RFC 3461 4: 501 5.5.4 */
	LIMIT_ORCPT = 500,               /* octets of ORCPT=; RFC 3461 4: 501 5.5.4 */
	LIMIT_RCPT = 1000,               /* recipients a transaction; RFC 5321 4.5.3.1.8 asks 100: 452 4.5.3 */
	LIMIT_RCPT_TRIES = 2000,         /* RCPT of a transaction, refused ones too: 421 4.7.0 to a further one, close */
	LIMIT_BAD_COMMANDS = 20,         /* commands refused here since the last accepted message: 421 4.7.0, close */
	LIMIT_BAD_RCPT = 100,            /* MAIL refused, and RCPT refused for good, by the next hop since then: 421 4.7.0 to a further one, close */
	LIMIT_FAULT_LINES = 100,         /* lines in the log about refused commands of a session: the rest is counted, one line at its end */
	LIMIT_IDLE_COMMANDS = 200,       /* NOOP, RSET, VRFY, HELP, EHLO since then: 421 4.7.0, close */
	LIMIT_SWALLOW = 67108864,        /* octets of refused content that are read and dropped: its answer, close */
	LIMIT_CHUNKS = 16384,            /* BDAT since the last MAIL, refused ones too: 554 5.5.0, close */
	LIMIT_CHUNK_DIGITS = 19,         /* digits of a chunk size, room for any below 2^63: 501 5.5.4, close */
	LIMIT_AUTH_LINE = 12288,         /* octets with CRLF of AUTH, and of a client's part of its exchange; RFC 4954 4: 500 5.5.6 */
	LIMIT_AUTH_NAME = 255,           /* octets of the name of somebody who authenticates: 535 5.7.8 */
	LIMIT_AUTH_NONCE = 256,          /* octets of a client's nonce, which we say again: 535 5.7.8 */
	LIMIT_AUTH_FAILURES = 5,         /* exchanges of a session that failed: 421 4.7.0 to a further AUTH, close */
	LIMIT_AUTH_WORK = 64,            /* passwords a worker turns into keys at a time: 454 4.7.0 */
	LIMIT_AUTHD_LINE = 16384,        /* octets of a line of Dovecot's authentication service: it is lost */
	LIMIT_AUTHD_CHALLENGE = 9000,    /* octets of a challenge in it, for a line of RFC 4954 4: it is lost */
	LIMIT_AUTHD_PENDING = 1000,      /* exchanges with it that a listener and worker have open: 454 4.7.0 */
	LIMIT_SCRAM_LEAST = 4096,        /* iterations of a password's verifier; RFC 7677 4: no verifier */
	LIMIT_SCRAM_MOST = 1000000,      /* the same: none above it, for a client could make us work as long */
	LIMIT_PIPELINED = 64,            /* commands that wait for an answer of the next hop: reading pauses */
	LIMIT_PROXY_V1 = 107,            /* octets of a PROXY header, version 1; PROXY protocol 2.1: close */
	LIMIT_PROXY_V2 = 536,            /* octets of a PROXY header, version 2; PROXY protocol 2.2, a frame without options: close */
	LIMIT_REPLY_LINE = 2048,         /* octets of a next hop's reply line; RFC 5321 4.5.3.1.5 asks 512: next hop is lost */
	LIMIT_REPLY_LINES = 100,         /* lines of a next hop's reply: next hop is lost */
	LIMIT_REPLY = 65536,             /* octets of a next hop's reply: next hop is lost */
	LIMIT_REPLY_TEXT = 1500,         /* octets of a next hop's reply text that reach the client: cut */
	LIMIT_ROUTE = 16,                /* next hops of a list that are tried for a transaction: no list is longer */
	LIMIT_NEXT_HOPS = 256,           /* servers that the next hops of a listener name in all: more are a mistake */
	LIMIT_ADDRESSES = 10,            /* addresses of a next hop that are tried; RFC 5321 5.1: others are not looked at */
	LIMIT_OPENING = 1000,            /* connections to a next hop that a worker has in the making: transactions wait */
	LIMIT_ROOM_WAIT_S = 10,          /* seconds a transaction waits for a connection below pool.max: another next hop, or 451 4.3.2 */
	LIMIT_PATIENCE_S = 60,           /* seconds for next hops, one after the other, to take MAIL; a client gives 300, RFC 5321 4.5.3.2: 451 4.4.1 */
	LIMIT_MAIL_WAIT_S = 30,          /* seconds of these for one to answer MAIL while there is another: that one is tried */
	LIMIT_RECEIVED = 100,            /* Received fields; RFC 5321 6.3: 554 5.4.6 */
	LIMIT_HEADER_LINE = 1048576,     /* octets of one header field: 552 5.3.4, as soon as it has more */
	LIMIT_TLS_TURNS = 1000,          /* key updates a TLS session may ask for, or a next hop renegotiations; RFC 8446 4.6.3: close */
	LIMIT_TLS_CHAIN = 10,            /* certificates between a peer's and one that is trusted: not verified */
	LIMIT_TLS_CHAIN_OCTETS = 65536,  /* octets of all certificates a peer shows: the handshake fails */
	LIMIT_OUT_PENDING = 32768,       /* octets of replies a client has not taken: it is not read, nor what it said already */
	LIMIT_LINGER_S = 5,              /* seconds that a client we have said the last word to may still be read: reset */
	LIMIT_LINGER_OCTETS = 16777216,  /* octets it may say meanwhile, more than sockets hold, all dropped: reset */
	LIMIT_LINGERING = 256,           /* such clients a worker has at a time: further ones are closed at once */
	LIMIT_TX_ARENA = 67108864,       /* octets a transaction may parse into: 452 4.3.1 */
	LIMIT_HOPS = 50,                 /* DKIM2-Signature fields; spec 18.3: PERMERROR */
	LIMIT_INSTANCES = 50,            /* Message-Instance fields; spec 18.3: PERMERROR */
	LIMIT_SIG_SETS = 8,              /* sets of an s=; spec 20.11: PERMERROR */
	LIMIT_HASH_SETS = 4,             /* sets of an h=; spec 18.3: PERMERROR */
	LIMIT_RT = 1000,                 /* paths of an rt=; spec 18.3: PERMERROR */
	LIMIT_DKIM2_FIELD = 262144,      /* octets of either DKIM2 field; spec 18.3: PERMERROR */
	LIMIT_DKIM2_FIELD_OUT = 61440,   /* octets of either field as we make it; spec 18.3: 550 5.7.1 */
	LIMIT_TAGS = 64,                 /* tags of a tag list: syntax error */
	LIMIT_RECIPE_STEPS = 100000,     /* steps and literals of a recipe; spec 18.3: PERMERROR */
	LIMIT_RECIPES_STEPS = 500000,    /* steps and literals of all recipes of a message, for they are held together: PERMERROR */
	LIMIT_RECIPE_NAMES = 1000,       /* field names of a recipe, and members of any other object in it: PERMERROR */
	LIMIT_RECIPE_DEPTH = 5,          /* arrays and objects of a recipe, the outermost is 1; spec 18.3 counts it 0: PERMERROR */
	LIMIT_UNDO_BODY = 67108864,      /* octets of the body of an instance that is undone; spec 18.3: PERMERROR */
	LIMIT_UNDO_TIMES = 4,            /* times the received body such a body may be, and times the received header all fields that recipes write: PERMERROR */
	LIMIT_UNDO_HEADERS = 64,         /* times the received header, or LIMIT_UNDO_LEAST, the headers of all instances that are undone: PERMERROR */
	LIMIT_UNDO_LEAST = 262144,       /* octets that either may always have, so that what one field can hold is never refused: PERMERROR above both */
	LIMIT_UNDO_FIELDS = 100000,      /* fields of all instances that are undone, of names that their recipes list: PERMERROR */
	LIMIT_UNDO_PIECES = 750000,      /* runs of lines of the bodies of all these: PERMERROR */
	LIMIT_UNDO = 536870912,          /* octets of all bodies undone for a message, unless dkim2.undo says otherwise: PERMERROR */
	LIMIT_DIFF_LINES = 600000,       /* lines of two bodies between what both begin and end with: none of them is copied */
	LIMIT_DIFF_STEPS = 4000000,      /* steps of a diff of two messages; spec 6.4: a simpler one, whose recipe is longer */
	LIMIT_NONCE = 64,                /* octets of n=; draft: PERMERROR */
	LIMIT_KEYS_HOP = 4,              /* key look-ups a hop; spec 18.3: PERMERROR */
	LIMIT_KEYS = 50,                 /* key look-ups a message; spec 18.3: PERMERROR */
	LIMIT_AUTHRES_RESULTS = 100,     /* results of an Authentication-Results field: not read, and ours has no more */
	LIMIT_AUTHRES_PROPS = 20,        /* properties of such a result: likewise */
	LIMIT_AUTHRES_VALUE = 400,       /* octets of a value in ours, so that a line stays below 998 when all is escaped: cut */
	LIMIT_AUTHRES_DKIM = 10,         /* DKIM signatures it tells of: the others are counted in a comment */
	LIMIT_DMARC_AUTHORS = 4,         /* author domains of a From field, RFC 9989 11.5: dmarc=permerror */
	LIMIT_DMARC_IDENTIFIERS = 10,    /* signing domains below the author's organisational domain that are walked for, RFC 9989 4.10.2: others do not align */
	LIMIT_DMARC_URIS = 1000,         /* octets of rua= or ruf= of a DMARC record: URIs behind them are dropped */
	LIMIT_ARC_SETS = 50,             /* sets of an ARC chain; RFC 8617 4.2.1 and 5.2: arc=fail, and none of ours is added */
	LIMIT_ARC_HEADERS = 16777216,    /* octets of header that message signatures of a chain cover besides the newest: older ones are not looked at */
	LIMIT_ARC_FIELD_OUT = 61440,     /* octets of each of the three fields as we make them: no set of ours is added */
	LIMIT_SPF_TERMS = 10,            /* terms of an SPF check that ask; RFC 7208 4.6.4: permerror */
	LIMIT_SPF_VOIDS = 2,             /* of these, such as ask for what is not there; RFC 7208 4.6.4: permerror */
	LIMIT_SPF_AHEAD = 11,            /* questions an SPF check has asked, the first one and ten more, when the next is asked only once it is needed */
	LIMIT_SPF_MX = 10,               /* hosts of an MX answer that are looked up; RFC 7208 4.6.4: permerror if the client is none of them */
	LIMIT_SPF_PTR = 10,              /* names of a PTR answer; RFC 7208 4.6.4: others are not looked at */
	LIMIT_SPF_EXPLANATION = 400,     /* octets of an SPF explanation, a reply line with its domain; RFC 5321 4.5.3.1.5: cut */
	LIMIT_MIME_PARAMS = 64,          /* parameters of a Content-Type: no content type */
	LIMIT_REPORT_STATUS = 1048576,   /* octets of the status part of a report: no report that is read */
	LIMIT_REPORT_FIELDS = 64,        /* fields of a group in it, and of the header of a part: likewise */
	LIMIT_REPORT_VALUE = 900,        /* octets of a value in a report we write; RFC 5322 2.1.1: text is cut, an address makes it no report */
	LIMIT_REPORT_RETURNED = 65536,   /* octets of a message that a report returns whole without being asked to; RFC 3461 4.3: its header */
	LIMIT_REPORTS_BURST = 100,       /* reports of ours to one address at once: the next one waits, safe in the spool */
	LIMIT_REPORTS_MINUTE = 60,       /* and a minute from then on: likewise */
	LIMIT_REPORTS_DOMAIN_BURST = 1000, /* the same for all addresses of a domain */
	LIMIT_REPORTS_DOMAIN_MINUTE = 600,
	LIMIT_REPORTS_AHEAD_S = 86400,   /* seconds that one would have to wait: it is not written, `dsn_suppressed` */
	LIMIT_REASON = 200,              /* octets of a peer's value in a reply, log line or comment: cut */
	LIMIT_LOG_VALUE = 1000,          /* octets of a value in a log line: cut */
	LIMIT_LOG_BACKLOG = 262144,      /* octets of lines that a process holds when its log does not take them: lost, and counted */
	LIMIT_DKIM_SHOWN = 50,           /* DKIM-Signature fields that a verdict tells of: others are not looked at */
	LIMIT_BODY_HASHES = 4,           /* different body hashes of a message that DKIM takes into account: dkim=policy */
	LIMIT_BODY_CUTS = 8,             /* different hashes of a part of the body, l=, for all mechanisms: as above */
	LIMIT_SIGNED_NAMES = 10000,      /* field names of an h= of DKIM and ARC: syntax error */
	LIMIT_TXT = 65535,               /* octets of a TXT answer: syntax error */
	LIMIT_DNS_MESSAGE = 250,         /* questions to the DNS a message: those beyond are temperrors */
	LIMIT_DNS_CACHE = 10000,         /* answers a worker keeps: oldest dropped */
	LIMIT_DNS_CACHE_OCTETS = 16777216, /* octets of these answers: oldest dropped */
	LIMIT_DNS_PENDING = 20000,       /* questions a worker has open: temperror */
	LIMIT_SIGN_PENDING = 10000,      /* signatures a worker has open: 451 4.3.0 */
	LIMIT_IPC = 131072,              /* octets of a message between two of our processes: refused */
	LIMIT_QUEUE_PAGE = 100,          /* messages, recipients or destinations an answer of the queue process tells of: the rest comes in further ones */
	LIMIT_PARCEL = 1048576,          /* octets of a text between control and queue process: the channel is closed */
	LIMIT_PARCEL_UNSENT = 4194304,   /* octets of such texts that wait for the other side: further ones are dropped */
	LIMIT_IPC_BATCH = 256,           /* questions or answers in such a message: refused */
	LIMIT_HOSTS = 2000,              /* hosts that DNS names which the queue process knows: those least used of late are forgotten, but not while mail goes there */
	LIMIT_GREETING_S = 300,          /* seconds for a host that connected to greet and answer EHLO; RFC 5321 4.5.3.2.1: another one, or later */
	LIMIT_HOSTS_S = 600,             /* seconds for hosts of a destination to greet, one after the other: the others are not tried this time */
	LIMIT_MX_HOSTS = 16,             /* hosts of an MX answer that are tried; RFC 5321 5.1: others are not looked at */
	LIMIT_SPOOL_ENVELOPE = 1048576,  /* octets of an envelope in the spool: 452 4.3.1 */
	LIMIT_SPOOL_COMMIT = 256,        /* messages of one file of the spool: another file is begun */
	LIMIT_SPOOL_COMMIT_OCTETS = 1048576, /* octets of such a file: another is begun; a message above it has one of its own */
	LIMIT_SPOOL_NOTE = 262144,       /* octets that are kept of a message between attempts: not kept, so that it is sealed anew */
	LIMIT_IPC_UNSENT = 4194304,      /* octets keeper or resolver hold for a worker that does not read: answers dropped */
};

#endif
