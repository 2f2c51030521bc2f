/** A call that was recorded, made again on an open file. */
import type { Caller, OpenFile } from '../file/open-file.js';
import type { Sliced } from '../file/work.js';
import { refuse } from '../linux/errno.js';
import type { CallRecord } from '../trace/call-record.js';
import { copied } from '../trace/copied.js';

/** Of an ioctl's number: does it say in which direction its struct goes? (_IOC_DIR) */
const DIRECTION_SHIFT = 30;

/** @throws Refusal the file's own; EBADF it is not open, as it was then. */
export function callOn(file: OpenFile | undefined, caller: Caller, record: CallRecord): Sliced<unknown> {
  const { call, path, ioctl, transfer, way } = record;
  if (file === undefined) return refuse('EBADF', `${path} is not open`);
  if (call === 'flush') return file.flush();
  if (call === 'release') return file.release();
  if (ioctl !== undefined) {
    const { cmd, arg, input } = ioctl;
    const data = cmd >>> DIRECTION_SHIFT === 0 ? new Uint8Array(0) : copied(input);
    return file.ioctl(caller, { cmd, arg, data });
  }
  const {
    offset = 0,
    length,
    bytes: written,
  } = transfer ?? refuse('EINVAL', `a ${call} of ${path} has no bytes`);
  if (call === 'read') return file.read(caller, offset, new Uint8Array(length));
  // A file may change what it is given.
  const bytes = copied(written);
  const mapping = file.mapping;
  if (call === 'load') return mapping?.read(offset, new Uint8Array(length));
  if (way === 'store') return mapping?.write(caller, offset, bytes);
  if (way === 'store64') return mapping?.write64(caller, offset, bytes);
  return file.write(caller, offset, bytes);
}
