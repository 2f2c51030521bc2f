/*
 * Random calls, valid and invalid, on every kind of file that the server has. What the parts share.
 *
 * A process has a pool of descriptors by their kind, and the numbers that earlier calls have given it
 * (PASIDs, ids of objects). A call is a line of a table: what it is made on, its number, and its struct as a
 * string of fields. Most fields get what makes sense, some get anything.
 */
#ifndef ANYCALL_H
#define ANYCALL_H

#include <stddef.h>
#include <stdint.h>

enum kind { IOASID, IOMMU, CONTAINER, GROUP, DEVICE, VDPA, EVENTS, MEMORY, EVENT, CONTROL, KINDS };

/* ---- dice.c: xorshift, so that a seed is a sequence ---- */

void seed_dice(uint64_t seed);
uint32_t below(uint32_t limit);
int one_in(uint32_t chances);
uint64_t anything(void);

/* ---- pool.c: what this process has ---- */

enum { PER_KIND = 2, KNOWN = 32, SPAN = 64 * 4096 };

extern unsigned char *own_memory;

void start_pool(const char *root);
int open_one(enum kind kind);
void keep(enum kind kind, int fd);
/* A descriptor of that kind; now and then of another, or none. */
int some_fd(enum kind kind);
/* Until it is -1: the one of that kind which is meant. */
void focus(enum kind kind, int fd);
void close_some(void);
void close_all(enum kind kind);

/* What a call on `fd` has returned. */
enum number { PASID, OBJECT, BOUND_DEVICE, NUMBERS };

/* It is a new file: what its number has meant is not its own. */
void forget(int fd);
void remember(enum number kind, int fd, uint32_t number);
uint32_t some_number(enum number kind, int fd);
/* A device's numbers are from now on those of the iommufd that it is bound to. */
void bound_to(int device, int iommufd);

/* ---- fields.c: structs by their fields ---- */

/*
 * One letter a field. 4 bytes: s size; z zero; f flags, x just these; p PASID; o object; b bound device; i,
 * u, g, m, e a descriptor (ioasid, iommufd, group, memory, event); n a small number, y a multiple of 8, w any
 * below 32, k a type of what IOMMUs differ in; P, O, B, D what comes back (PASID, object, bound device,
 * descriptor of events). 2 bytes: h. One byte: c a small number, r rights, digits for themselves. 8 bytes: A
 * address, L length, V IOVA, K a type and the length of what is of it, Z zero.
 */
struct call {
	const char *name;
	enum kind on;
	/* Of an ioctl; or it is a message, which is written. */
	uint32_t number;
	const char *fields;
	uint32_t flags;
	/* What succeeded, and all. */
	unsigned long done, made;
};

extern struct call calls[];

enum { MESSAGE };

/* For a call on `fd`. */
size_t fill(const struct call *call, int fd, unsigned char *bytes);
void take_results(const struct call *call, int fd, const unsigned char *bytes);

/* ---- control.c: the socket by which a server is asked ---- */

/* A connection; -1 when there is none. */
int ask_server(void);

/* ---- acts.c: what a process does ---- */

void act(void);
/* A call of the table, "transfer", or "kick". */
void act_by_name(const char *name);

/* ---- stories.c ---- */

void tell_story(void);

#endif
