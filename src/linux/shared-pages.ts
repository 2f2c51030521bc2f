/**
 * SharedPages: pages that programs map, and that can be taken from all of them at once.
 *
 * They are a memfd. While it has its length, whoever has mapped it loads and stores without us. While its
 * length is 0, each access raises SIGBUS: in every mapping, wherever it has been moved, cut or inherited to.
 * So nobody has to be found or stopped to take them away.
 *
 * Invariant: no store is lost. What is given is there before the file is as long as that (one pwrite, which
 * makes it longer page by page). Before pages are taken they go into a pipe by reference (splice(2)). Then
 * the file is cut, which ends when no processor can reach them any more, and only then they are read from the
 * pipe: as they were left. To read first and cut then would lose what is stored in between.
 *
 * A program may get at the descriptor while it is being mapped, and cut or fill the file. So nothing here
 * relies on its length, and nobody can seal it.
 */
import { refuse } from './errno.js';
import { identifyOwn } from './fd-identity.js';
import { addressOf, check, libc, viewMemory } from './ffi.js';
import { statusOfOurs } from './file-status.js';
import { guardedAddresses } from './memory-guard.js';

const MFD_CLOEXEC = 1;
const O_RDONLY_CLOEXEC = 0o2000000;
const F_ADD_SEALS = 1033;
const F_SEAL_SEAL = 1;
const PROT_READ_WRITE = 3;
const PROT_NONE = 0;
const MAP_SHARED_FIXED = 0x11;
/** MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED. */
const MAP_NOTHING = 0x4032;
const MAP_FAILED = 2 ** 63;
/** What a pipe holds at once: 16 pages. */
const CHUNK = 65536;

/** The pipe through which pages are taken: empty in between. */
let pipe: readonly [read: number, write: number] | undefined;
/** Where the next splice begins, as loff_t. */
const position = new BigInt64Array(16);
const positionBytes = new Uint8Array(position.buffer);

/** Those that there are, as FileStatus.identity names files. */
const identities = new Set<string>();

/** Are they pages of a device that the file with this identity has? */
export function isOfDevice(identity: string): boolean {
  return identities.has(identity);
}

export class SharedPages {
  readonly length: number;
  readonly fd: number;
  /** As the kernel names the file where it is mapped. */
  readonly device: number;
  readonly inode: number;
  readonly #identity: string;
  #at = 0;
  #words: Int32Array | undefined;
  #closed = false;

  /** None are given yet. @throws Refusal EMFILE, ENFILE no descriptors left. */
  constructor(length: number) {
    pipe ??= newPipe();
    this.length = length;
    this.fd = check(libc().memfd_create('ioasid-bar', MFD_CLOEXEC), 'no memory to map could be made');
    libc().fcntl(this.fd, F_ADD_SEALS, F_SEAL_SEAL);
    ({ device: this.device, inode: this.inode } = identifyOwn(this.fd));
    this.#identity = statusOfOurs(this.fd).identity;
    identities.add(this.#identity);
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Another descriptor of it, which lets nobody write. @throws Refusal EMFILE, ENFILE. */
  readOnly(): number {
    return check(libc().open(`/proc/self/fd/${this.fd}`, O_RDONLY_CLOEXEC, 0), 'no descriptor is left');
  }

  /** Programs have the pages from now on, with `content`. @returns false: there is no memory for them. */
  give(content: Uint8Array): boolean {
    for (let done = 0; done < this.length; ) {
      const written = libc().pwrite(this.fd, addressOf(content) + done, this.length - done, done);
      if (written <= 0) return false;
      done += written;
    }
    return true;
  }

  /** Programs have them no more. Fills `target` with what they are, where they are still there. */
  take(target: Uint8Array): void {
    for (let end = this.length; end > 0; ) {
      const start = Math.max(0, end - CHUNK);
      position[0] = BigInt(start);
      const [from, to] = pipe!;
      const held = libc().splice(this.fd, addressOf(positionBytes), to, 0, end - start, 0);
      libc().ftruncate(this.fd, start);
      for (let done = 0; done < held; )
        done += check(libc().read(from, addressOf(target) + start + done, held - done), 'a pipe is broken');
      end = start;
    }
  }

  /**
   * Where they are in this process, to be looked at while they are given. @throws Refusal ENOMEM no addresses
   * left.
   */
  mapped(): Int32Array {
    this.#words ??= this.#map();
    return this.#words;
  }

  /** Programs have them no more, and never again. */
  close(): void {
    this.#closed = true;
    identities.delete(this.#identity);
    libc().ftruncate(this.fd, 0);
    libc().close(this.fd);
    if (this.#at !== 0) libc().mmap(this.#at, this.length, PROT_NONE, MAP_NOTHING, -1, 0);
    this.#words = undefined;
  }

  #map(): Int32Array {
    const at = guardedAddresses(this.length);
    const done =
      at !== undefined &&
      libc().mmap(at, this.length, PROT_READ_WRITE, MAP_SHARED_FIXED, this.fd, 0) < MAP_FAILED;
    if (!done) refuse('ENOMEM', `${this.length} bytes of a BAR cannot be mapped here`);
    this.#at = at;
    return new Int32Array(viewMemory(at, this.length).buffer);
  }
}

function newPipe(): readonly [number, number] {
  const ends = new Int32Array(32);
  check(libc().pipe2(addressOf(new Uint8Array(ends.buffer)), O_RDONLY_CLOEXEC), 'no pipe could be made');
  return [ends[0]!, ends[1]!];
}
