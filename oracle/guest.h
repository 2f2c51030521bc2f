/* What the first processes of guests share: they boot Debian's kernel and have the executor run /script. */
#ifndef GUEST_H
#define GUEST_H

#include <stddef.h>

/* Mounts what every program needs, and takes the console as standard input, output and error. */
void begin_guest(void);

/* Loads /mod/NAME.ko of every name, in this order. */
void load_modules(const char *const *names, size_t count);

/* Has the executor run the script, with its answers to the second serial port, and switches off. */
int end_guest(void);

#endif
