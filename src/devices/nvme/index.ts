/**
 * `--device nvme`: an NVM Express controller (NVM Express Base 2.0, NVM Command Set 1.0, NVM Express over
 * PCIe 1.0) whose namespaces are files. See docs/nvme.md for what is in it.
 *
 *     nvme,file=disk.img,file=second.img,queues=16,block=4096,readonly=1,serial=abc
 */
import { createHash } from 'node:crypto';
import { resolve } from 'node:path';
import type { DeviceFactory } from '../device-model.js';
import { choice, each, flag, integer, optional, parseOptions } from '../options.js';
import { Controller } from './controller.js';
import { Namespace } from './namespace.js';

const SERIAL_BYTES = 20;

export const summary = 'an NVM Express controller on files';

export const options = {
  file: each('a namespace: a file or block device; each has its own', 'PATH'),
  queues: integer('pairs of I/O queues', 16, 1, 64),
  block: choice('bytes of a block', '512', ['512', '4096']),
  readonly: flag('nothing is written to the namespaces'),
  serial: optional('the serial number', `1 to ${SERIAL_BYTES} characters`, 'by the paths', parseSerial),
};

const createNvme: DeviceFactory = (host, given) => {
  const { file, queues, block: blockText, readonly, serial: own } = parseOptions('nvme', options, given);
  const block = Number(blockText);
  const disks = file.map((path) => host.outside.disk(resolve(host.baseDirectory, path), !readonly));
  const paths = disks.map(({ path }) => path);
  const serial = own ?? `ioasid-${hash(paths.join('\n')).toString('hex', 0, 6)}`;
  const qualifiedName = `nqn.2014-08.org.nvmexpress:uuid:${text(uuidOf(serial))}`;
  const namespaces = disks.map((disk, index) => {
    if (disk.size % block !== 0)
      throw new Error(`file "${disk.path}" has ${disk.size} bytes, which are no whole blocks of ${block}`);
    return new Namespace(index + 1, disk, block, uuidOf(`${serial} ${index + 1}`));
  });
  return new Controller(host, { serial, qualifiedName }, namespaces, queues);
};

export default createNvme;

/** Undefined where none is given. */
function parseSerial(serial: string | undefined): string | undefined {
  if (serial !== undefined && !/^[\x21-\x7e]{1,20}$/.test(serial))
    throw new Error(`serial "${serial}" is not 1 to ${SERIAL_BYTES} printable characters`);
  return serial;
}

function hash(of: string): Buffer {
  return createHash('sha256').update(of).digest();
}

/** The same for the same name, of version 8, which is for what an application makes (RFC 9562 §5.8). */
function uuidOf(name: string): Uint8Array {
  const bytes = Uint8Array.from(hash(`ioasid nvme ${name}`).subarray(0, 16));
  bytes[6] = (bytes[6]! & 0x0f) | 0x80;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  return bytes;
}

function text(uuid: Uint8Array): string {
  return Buffer.from(uuid)
    .toString('hex')
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
