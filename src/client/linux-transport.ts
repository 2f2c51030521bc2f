/**
 * LinuxTransport: this process and the files that are really there, by system calls.
 *
 * Each call blocks its thread until the server has answered, so the server must be another process.
 */
import { join } from 'node:path';
import { Errno, errnoName, Refusal } from '../linux/errno.js';
import { address, check, lastErrno, libc, viewMemory } from '../linux/ffi.js';
import { explained, explainedIoctl } from './explain.js';
import type { EventFile, MemoryFile, ProcessMemoryBlock, Transport } from './transport.js';

const O_RDWR = 2;
const O_CLOEXEC = 0o2000000;
const EFD_CLOEXEC_NONBLOCK = 0o2004000;
const MFD_CLOEXEC = 1;
const F_DUPFD_CLOEXEC = 1030;
const PROT_READ_WRITE = 3;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const STRUCT_BYTES = 1 << 14;

/** This process, and the files that are really there. Each call waits for the server, another process. */
export class LinuxTransport implements Transport {
  readonly #root: string;
  readonly #struct = new Uint8Array(STRUCT_BYTES);
  readonly #structAddress = address(this.#struct);

  /** @param root where the device files are: `/dev`, or the folder of `ioasid serve`. */
  constructor(root = '/dev') {
    this.#root = root;
  }

  open(path: string): number {
    const full = join(this.#root, path);
    return check(libc().open(full, O_RDWR | O_CLOEXEC, 0), `${full} cannot be opened`);
  }

  dup(fd: number): number {
    return check(libc().fcntl(fd, F_DUPFD_CLOEXEC, 0), `descriptor ${fd} cannot be duplicated`);
  }

  close(fd: number): void {
    check(libc().close(fd), `descriptor ${fd} cannot be closed`);
  }

  ioctl(fd: number, cmd: number, data: Uint8Array): number {
    return explainedIoctl((file, number, bytes) => this.#ioctl(file, number, bytes), fd, cmd, data);
  }

  pread(fd: number, offset: number, target: Uint8Array): number {
    const buffer = target.length <= 64 ? this.#struct : target;
    const read = libc().pread(fd, address(buffer), target.length, offset);
    if (read === -1) throw this.#why(fd, 'pread');
    if (buffer !== target) target.set(buffer.subarray(0, read));
    return read;
  }

  pwrite(fd: number, offset: number, source: Uint8Array): number {
    const buffer = source.length <= 64 ? this.#struct : source;
    if (buffer !== source) buffer.set(source);
    const written = libc().pwrite(fd, address(buffer), source.length, offset);
    if (written === -1) throw this.#why(fd, 'pwrite');
    return written;
  }

  read(fd: number, target: Uint8Array): number {
    const buffer = target.length <= 64 ? this.#struct : target;
    const read = libc().read(fd, address(buffer), target.length);
    if (read === -1) throw this.#why(fd, 'read');
    if (buffer !== target) target.set(buffer.subarray(0, read));
    return read;
  }

  write(fd: number, source: Uint8Array): number {
    const buffer = source.length <= 64 ? this.#struct : source;
    if (buffer !== source) buffer.set(source);
    const written = libc().write(fd, address(buffer), source.length);
    if (written === -1) throw this.#why(fd, 'write');
    return written;
  }

  poll(fd: number, events: number, timeoutMs: number): number {
    const request = new DataView(this.#struct.buffer);
    request.setInt32(0, fd, true);
    request.setInt16(4, events, true);
    request.setInt16(6, 0, true);
    check(libc().poll(this.#structAddress, 1, timeoutMs), `descriptor ${fd} cannot be polled`);
    return request.getInt16(6, true);
  }

  allocate(length: number): ProcessMemoryBlock {
    const at = check(
      libc().mmap(0, length, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0),
      `no memory of ${length} bytes`,
    );
    return { address: at, bytes: viewMemory(at, length), free: () => void libc().munmap(at, length) };
  }

  createMemfd(length: number): MemoryFile {
    const fd = check(libc().memfd_create('ioasid-client', MFD_CLOEXEC), 'memfd_create failed');
    const truncate = (size: number) =>
      void check(libc().ftruncate(fd, size), `the memfd cannot become ${size} bytes long`);
    truncate(length);
    return {
      fd,
      truncate,
      read: (offset, count) => {
        const bytes = new Uint8Array(Math.max(count, 128));
        return bytes.subarray(
          0,
          check(libc().pread(fd, address(bytes), count, offset), 'pread of the memfd failed'),
        );
      },
      write: (offset, source) => void this.pwrite(fd, offset, source),
    };
  }

  createEventfd(): EventFile {
    const fd = check(libc().eventfd(0, EFD_CLOEXEC_NONBLOCK), 'eventfd failed');
    return {
      fd,
      take: () => {
        const n = libc().read(fd, this.#structAddress, 8);
        if (n === -1 && lastErrno() === Errno.EAGAIN) return 0;
        check(n, `eventfd ${fd} cannot be read`);
        return new DataView(this.#struct.buffer).getUint32(0, true);
      },
    };
  }

  #ioctl(fd: number, cmd: number, data: Uint8Array): number {
    this.#struct.set(data);
    const result = libc().ioctl(fd, cmd, this.#structAddress);
    const errno = result === -1 ? lastErrno() : 0;
    data.set(this.#struct.subarray(0, data.length));
    if (result === -1)
      throw new Refusal(errno, `ioctl 0x${cmd.toString(16)} on descriptor ${fd} was refused`);
    return result;
  }

  #why(fd: number, what: string): Refusal {
    const errno = lastErrno();
    return explained(
      (file, number, bytes) => this.#ioctl(file, number, bytes),
      fd,
      errno,
      `${what} on descriptor ${fd}: ${errnoName(errno)}`,
    );
  }
}
