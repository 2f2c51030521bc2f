/*
 * Every kind of descriptor that Linux has, given to every call of ours that takes one. What the parts share.
 *
 * A kind is a way to open a file, and what that is to us. A call is made with such a descriptor, undoes what
 * it has done, and says which kinds it takes. The rule is the same for all of them: what it takes it takes, a
 * name of a file (O_PATH) is EBADF like what is not open, and all else is one errno, with a sentence that
 * names the descriptor.
 */
#ifndef FDKINDS_H
#define FDKINDS_H

enum is { OTHER = 0, EVENT = 1, MEMORY = 2, CONTEXT = 4, IOMMU = 8, CONTAINER = 16, NAME = 32, CLOSED = 64 };

/* ---- kinds.c ---- */

struct kind {
	const char *name;
	/* A descriptor, or -1 where this system has none of that kind. */
	int (*open)(void);
	enum is is;
};

extern const struct kind kinds[];

/* Where a file of another server's is, which is opened now and falls silent later; NULL: there is none. */
void open_foreign(const char *path);

/* ---- calls.c ---- */

struct call {
	const char *name;
	/* Returns 0, or the errno; what was done is undone. */
	int (*make)(int fd);
	/* The file that is called, and explains. */
	int *on;
	int takes;
	/* The errno of what it does not take, and what comes of -1, which is no descriptor at all. */
	int otherwise, of_none;
};

extern const struct call calls[];
extern int context;

/* Where our files are. */
void open_files(const char *folder);

/* The file of ours that has this name there. */
int open_ours(const char *name, int flags);

#endif
