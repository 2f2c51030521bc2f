/**
 * An initramfs: an archive in cpio's "new ASCII" format, which a Linux kernel unpacks into its first file
 * system (Documentation/driver-api/early-userspace/buffer-format).
 *
 * Every entry is a header of hexadecimal fields, a name and data, each padded to 4 bytes; an entry named
 * TRAILER!!! ends it.
 */

/** One entry; without data it is a directory. */
export interface Entry {
  readonly path: string;
  readonly data?: Uint8Array;
}

const DIRECTORY = 0o040755;
const PROGRAM = 0o100755;

export function initramfs(entries: readonly Entry[]): Uint8Array {
  const parts = [...entries, { path: 'TRAILER!!!', data: new Uint8Array() }].map(({ path, data }, n) =>
    entry(n + 1, path, data === undefined ? DIRECTORY : PROGRAM, data ?? new Uint8Array()),
  );
  return Buffer.concat(parts);
}

function entry(inode: number, path: string, mode: number, data: Uint8Array): Uint8Array {
  const name = Buffer.from(`${path}\0`);
  // inode, mode, uid, gid, links, mtime, size, device and rdevice (major, minor), name, checksum
  const fields = [inode, mode, 0, 0, 1, 0, data.length, 0, 0, 0, 0, name.length, 0];
  const header = Buffer.from(`070701${fields.map((each) => each.toString(16).padStart(8, '0')).join('')}`);
  return Buffer.concat([padded(Buffer.concat([header, name])), padded(data)]);
}

function padded(bytes: Uint8Array): Uint8Array {
  return Buffer.concat([bytes, new Uint8Array(-bytes.length & 3)]);
}
