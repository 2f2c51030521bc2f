/*
 * What the parts of the executor share: the names of a sequence (names.c), answers (answers.c), and the calls
 * that lines ask for (ioctl.c, files.c, memory.c,
 * device.c, attributes.c).
 */
#ifndef EXECUTOR_H
#define EXECUTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define PAGE 4096ul
#define STRUCT_ADDRESS 0x20000000ul
#define STRUCT_BYTES (4 * PAGE)
#define STRUCT_SHOWN 512ul
#define WATCHED_BYTES (1ul << 20)
#define WORDS 64

enum kind { DESCRIPTOR, BUFFER, VALUE };

struct name {
	char text[16];
	enum kind kind;
	uint64_t value; /* a descriptor, an address or a number */
	size_t length;
};

/* names.c */
struct name *find_kind(const char *text, enum kind kind);
void define(const char *text, enum kind kind, uint64_t value, size_t length);
void forget(struct name *name);
int descriptor(const char *text);
uint64_t number(const char *text);
uint64_t evaluate(const char *text);
void end_sequence(void);

/* answers.c */
extern FILE *out;
size_t from_hex(const char *text, uint8_t *bytes, size_t room);
void print_hex(const uint8_t *bytes, size_t count);
void print_changes(const char *label, const uint8_t *before, const uint8_t *now, size_t length,
		   size_t skipped);
void print_result(long result);

/* ioctl.c */
void patch(uint8_t *bytes, const char *word);

/* Each runs the line of `count` words when its verb is one of its own; false: it is not. */
bool ioctl_line(char **word, int count);
bool file_line(char **word, int count);
bool memory_line(char **word, int count);
bool device_line(char **word, int count);
bool attribute_line(char **word, int count);

/* memory.c */
void free_addresses(void);
void new_descriptor(const char *text, int fd);

#endif
