/** A device module that is never imported to its end: it loops. */
for (;;);
