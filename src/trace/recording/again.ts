/** Is a call as another one, but for its times? Who polls says the same again and again. */
import { type CallRecord, type IoctlPart, sameBytes, type TransferPart } from '../call-record.js';

export function isAgain(one: CallRecord, other: CallRecord): boolean {
  return (
    one.path === other.path &&
    one.call === other.call &&
    one.tid === other.tid &&
    one.pid === other.pid &&
    one.program === other.program &&
    one.fd === other.fd &&
    one.file === other.file &&
    one.result === other.result &&
    one.error === other.error &&
    one.reason === other.reason &&
    one.part === other.part &&
    one.way === other.way &&
    sameIoctl(one.ioctl, other.ioctl) &&
    sameTransfer(one.transfer, other.transfer)
  );
}

/** What was said of a descriptor is not compared: it may be another file by now. */
function sameIoctl(one: IoctlPart | undefined, other: IoctlPart | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  return (
    one.cmd === other.cmd &&
    one.arg === other.arg &&
    one.shape === other.shape &&
    one.descriptors.size + other.descriptors.size === 0 &&
    sameBytes(one.input, other.input) &&
    sameBytes(one.output, other.output)
  );
}

function sameTransfer(one: TransferPart | undefined, other: TransferPart | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  return (
    one.offset === other.offset &&
    one.length === other.length &&
    one.place === other.place &&
    one.layout === other.layout &&
    sameBytes(one.bytes, other.bytes)
  );
}
