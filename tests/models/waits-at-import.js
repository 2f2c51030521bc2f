/** A device module that is never imported to its end: it waits. */
await new Promise(() => {});
