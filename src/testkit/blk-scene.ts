/**
 * A virtio-blk on a real file, with a driver before it that makes requests (virtio 1.3 §5.2.6).
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { FakeHost } from '../devices/fake-host.js';
import createBlk from '../devices/virtio/blk.js';
import { VirtioScene, type VirtioSceneOptions } from './virtio-scene.js';

const directory = mkdtempSync(join(tmpdir(), 'ioasid-blk-'));
after(() => rmSync(directory, { recursive: true }));

export const SECTORS = 4096;

let files = 0;

export class BlkScene extends VirtioScene {
  readonly path: string;

  constructor(options: VirtioSceneOptions & { words?: Record<string, string>; content?: Uint8Array } = {}) {
    const name = `disk${files++}.img`;
    const path = join(directory, name);
    writeFileSync(path, options.content ?? new Uint8Array(SECTORS * 512));
    const host = Object.assign(new FakeHost(), { baseDirectory: directory });
    super(host.make(createBlk, { file: name, ...options.words }), options);
    this.path = path;
  }

  /** As `request`, of a read or a write whose data is in parts of these lengths. */
  scattered(type: number, sector: number, lengths: readonly number[]) {
    const parts = lengths.map((length, n) =>
      type === 0 ? this.in(length) : this.out(new Uint8Array(length).fill(n)),
    );
    const status = this.in(1);
    this.offer(0, this.out(headerOf(type, sector)), ...parts, status);
    return {
      status: () => this.bytesOf(status)[0],
      data: () => joined(parts.map((part) => this.bytesOf(part))),
    };
  }

  /** Makes a request available. @returns what it has come to, once the device has settled. */
  request(type: number, sector: number, data: Uint8Array | number = 0, queue = 0) {
    const body = typeof data === 'number' ? this.in(data) : this.out(data);
    const status = this.in(1);
    const id = this.offer(queue, this.out(headerOf(type, sector)), body, status);
    return { id, body, status: () => this.bytesOf(status)[0], data: () => this.bytesOf(body) };
  }

  /** One request to its end. */
  async ask(type: number, sector: number, data: Uint8Array | number = 0) {
    const request = this.request(type, sector, data);
    await this.settle();
    const used = this.drivers[0]!.collect();
    assert.equal(used?.id, request.id, this.device.needsReset);
    return { status: request.status(), written: used?.length, data: request.data() };
  }

  get file(): Uint8Array {
    return new Uint8Array(readFileSync(this.path));
  }
}

function headerOf(type: number, sector: number): Uint8Array {
  const header = new DataView(new ArrayBuffer(16));
  header.setUint32(0, type, true);
  header.setBigUint64(8, BigInt(sector), true);
  return new Uint8Array(header.buffer);
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}
