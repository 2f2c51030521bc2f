/**
 * The records that qemu/records.c writes, as they have to be in the image of its disk: record n of a round is
 * 4 KiB of words that follow from round, n and their place.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

const WORDS = 1024;
const RECORD = WORDS * 4;
const STRIDE = 40503;

function mix(value: number): number {
  let x = value >>> 0;
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return (x ^ (x >>> 16)) >>> 0;
}

function isRecord(words: Uint32Array, round: number, n: number): boolean {
  const seed = mix(mix(round) + n);
  for (let word = 0; word < WORDS; word++) if (words[word] !== mix(seed + word)) return false;
  return true;
}

/** Those of the first `count` records of a round that the file of a disk does not have. */
export function missingRecords(disk: string, round: number, count: number): number[] {
  const missing: number[] = [];
  const words = new Uint32Array(WORDS);
  const fd = openSync(disk, 'r');
  try {
    const places = fstatSync(fd).size / RECORD;
    for (let n = 0; n < count; n++) {
      const whole = readSync(fd, words, 0, RECORD, ((n * STRIDE) % places) * RECORD) === RECORD;
      if (!whole || !isRecord(words, round, n)) missing.push(n);
    }
  } finally {
    closeSync(fd);
  }
  return missing;
}
