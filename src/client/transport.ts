/**
 * Transport: how the client's classes reach the files, and the memory that they hand over.
 *
 * One implementation makes system calls (`linux-transport.ts`), the other calls a machine in this process
 * (`in-process.ts`). A Transport stands for one process: its descriptors and addresses mean something only
 * there.
 */

/** Page-aligned memory of the process. */
export interface ProcessMemoryBlock {
  readonly address: number;
  readonly bytes: Uint8Array;
  /** Unmaps it: what still refers to it faults. */
  free(): void;
}

/** A memory file (memfd). */
export interface MemoryFile {
  readonly fd: number;
  read(offset: number, length: number): Uint8Array;
  write(offset: number, source: Uint8Array): void;
  truncate(length: number): void;
}

/** An eventfd. */
export interface EventFile {
  readonly fd: number;
  /** Takes the counter without waiting; 0 when nothing was signalled. */
  take(): number;
}

export interface Transport {
  /** Opens `path` below `/dev`. @throws Refusal */
  open(path: string): number;
  dup(fd: number): number;
  close(fd: number): void;
  /**
   * ioctl(2) on a struct that is copied in and out, also when the call is refused. @returns its result.
   * @throws Refusal with the errno and, from our own files, the reason.
   */
  ioctl(fd: number, cmd: number, data: Uint8Array): number;
  /** @returns bytes read. @throws Refusal */
  pread(fd: number, offset: number, target: Uint8Array): number;
  /** @returns bytes written. @throws Refusal */
  pwrite(fd: number, offset: number, source: Uint8Array): number;
  /** read(2), of a stream or at the file's own position. @returns bytes read. @throws Refusal */
  read(fd: number, target: Uint8Array): number;
  /** write(2), as `read`. @returns bytes written. @throws Refusal */
  write(fd: number, source: Uint8Array): number;
  /**
   * poll(2) on one descriptor. @returns the POLL* bits of `events` that hold; 0 when none came to hold within
   * `timeoutMs` (-1: for ever).
   */
  poll(fd: number, events: number, timeoutMs: number): number;
  allocate(length: number): ProcessMemoryBlock;
  createMemfd(length: number): MemoryFile;
  createEventfd(): EventFile;
}
