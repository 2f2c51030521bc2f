/**
 * Allocates a million PASIDs in one context, maps 4 KiB in each, and prints what that took. A process of its
 * own, so that nothing but this is in its memory.
 */
import { InProcess } from '../client/in-process.js';
import { Ioasid } from '../client/ioasid.js';
import { Machine } from '../machine/machine.js';

/** What this prints. */
export interface MillionResult {
  /** By how much the resident memory has grown. */
  readonly bytes: number;
  /** Nanoseconds of one ALLOC and one MAP. */
  readonly ns: number;
}

const COUNT = 1_000_000;

const machine = await Machine.create({ devices: ['dsa'], pasidQuota: COUNT, mappingQuota: COUNT });
const program = new InProcess(machine);
const ioasid = Ioasid.open(program);
const block = program.allocate(4096);

const before = process.memoryUsage.rss();
const begin = process.hrtime.bigint();
for (let i = 0; i < COUNT; i++) ioasid.map(ioasid.alloc(), block.address, 4096, { iova: 0x10000 });
const ns = Number(process.hrtime.bigint() - begin) / COUNT;
const result: MillionResult = { bytes: process.memoryUsage.rss() - before, ns };

const { pasids, mappings } = ioasid.info();
if (pasids !== COUNT || mappings !== COUNT)
  throw new Error(`${pasids} PASIDs and ${mappings} mappings, not ${COUNT}`);
console.log(JSON.stringify(result));
process.exit(0);
