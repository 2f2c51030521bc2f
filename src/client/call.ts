/**
 * One ioctl with a struct, on an open file: typed fields go in, what then stands in the struct comes back.
 *
 * The first field of each struct is its size, and is filled in here. Which fields there are, and of what
 * type, is what the tables of `uapi/` say.
 */
import { IOASID_TYPE } from '../uapi/ioasid.js';
import { iowr } from '../uapi/ioctl.js';
import { IOMMUFD_TYPE } from '../uapi/iommufd/command.js';
import { type Decoded, type FieldTypes, type Given, type Struct, sized } from '../uapi/struct.js';
import type { Transport } from './transport.js';

/** An open file. */
export interface Descriptor {
  readonly transport: Transport;
  readonly fd: number;
}

/** An ioctl, as the table of its ABI has it. */
interface Ioctl<T extends FieldTypes> {
  readonly nr: number;
  readonly struct: Struct<T>;
}

/** @throws Refusal with the errno of the ioctl. */
export function call<T extends FieldTypes>(
  { transport, fd }: Descriptor,
  cmd: number,
  struct: Struct<T>,
  given: Given<T>,
): Decoded<T> {
  const data = sized(struct, given);
  transport.ioctl(fd, cmd, data);
  return struct.decode(data);
}

/** An ioctl of /dev/iommu. @throws as `call`. */
export function callIommufd<T extends FieldTypes>(
  file: Descriptor,
  { nr, struct }: Ioctl<T>,
  given: Given<T>,
): Decoded<T> {
  return call(file, (IOMMUFD_TYPE << 8) | nr, struct, given);
}

/** An ioctl of the native ABI. @throws as `call`. */
export function callNative<T extends FieldTypes>(
  file: Descriptor,
  { nr, struct }: Ioctl<T>,
  given: Given<T>,
): Decoded<T> {
  return call(file, iowr(IOASID_TYPE, nr, struct.size), struct, given);
}
