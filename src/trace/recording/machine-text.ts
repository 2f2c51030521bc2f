/** What a recording says of its machine, which is JSON: read as what it may be, and not trusted. */
import { refuse } from '../../linux/errno.js';
import { escaped } from '../lines.js';
import type { RecordedMachine, RecordedOptions, RecordedOutside } from '../raw.js';

/** @throws Refusal EINVAL it is no machine. */
export function parseMachine(text: string): RecordedMachine {
  try {
    const { devices, made, outside, withoutContents } = JSON.parse(text) as RecordedMachine;
    return {
      ...(isRecord(made) && { made }),
      ...(outside !== undefined && { outside: parseOutside(outside) }),
      ...(withoutContents === true && { withoutContents }),
      devices: devices.map(({ name, rid, spec }) => ({ name: said(name), rid: said(rid), spec: said(spec) })),
    };
  } catch {
    return refuse('EINVAL', 'a record describes a machine that cannot be one');
  }
}

function parseOutside({ disks, random, links }: RecordedOutside): RecordedOutside {
  return {
    disks: disks.map(({ path, size }) => ({ path: said(path), size: counted(size) })),
    random: random.map(said),
    links: links.map(({ name, turns }) => ({ name: said(name), turns: counted(turns, MOST_TURNS) })),
  };
}

/** Of a peer before a run has begun. */
const MOST_TURNS = 1000;

function counted(value: unknown, most = Number.MAX_SAFE_INTEGER): number {
  if (Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= most)
    return value as number;
  throw new TypeError('no number');
}

function isRecord(value: unknown): value is RecordedOptions {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function said(text: unknown): string {
  if (typeof text !== 'string') throw new TypeError('no text');
  return escaped(text);
}
