/**
 * Transport: how the client's classes reach the files, and the memory that they hand over.
 *
 * One implementation makes system calls (`linux-transport.ts`), the other calls a machine in this process
 * (`in-process.ts`). A Transport stands for one process: its descriptors and addresses mean something only
 * there.
 */

/** Page-aligned memory of the process. */
export interface ProcessMemoryBlock {
  /** In the process: what ioctls take as an address. A multiple of 4096. */
  readonly address: number;
  /** The memory itself. */
  readonly bytes: Uint8Array;
  /** Unmaps it: what still refers to it faults. */
  free(): void;
}

/** A memory file (memfd). Offsets and lengths are bytes. */
export interface MemoryFile {
  /** Its descriptor in the process. */
  readonly fd: number;
  /** A copy of [offset, offset+length), shorter where the file ends. */
  read(offset: number, length: number): Uint8Array;
  /** Writes `source` at `offset`. */
  write(offset: number, source: Uint8Array): void;
  /** Makes it `length` bytes long: what was behind is gone, and mappings of it fault. */
  truncate(length: number): void;
}

/** An eventfd. */
export interface EventFile {
  /** Its descriptor in the process. */
  readonly fd: number;
  /** Takes the counter without waiting; 0 when nothing was signalled. */
  take(): number;
}

/** A process, as the client needs it: its descriptors, its memory, and the system calls on them. */
export interface Transport {
  /** Opens `path` below `/dev`. @throws Refusal */
  open(path: string): number;
  /** dup(2). @returns another descriptor of the same open file. @throws Refusal EBADF */
  dup(fd: number): number;
  /** close(2). @throws Refusal EBADF */
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
  /** Page-aligned memory of at least `length` bytes, zeros. */
  allocate(length: number): ProcessMemoryBlock;
  /** A memfd of `length` bytes, zeros. */
  createMemfd(length: number): MemoryFile;
  /** An eventfd whose counter is 0. */
  createEventfd(): EventFile;
}
