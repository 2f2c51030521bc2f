/**
 * Log pages (NVM Express Base 2.0 §5.16): what the controller tells of itself, by offset. All are made when
 * they are asked for.
 */
import type { ErrorLog } from './error-log.js';
import { type Features, featureIds, isOfNamespace, TEMPERATURE } from './features.js';
import { FIRMWARE } from './identify.js';
import { AdminOpcode, changesBlocks, IoOpcode } from './opcodes.js';
import type { Statistics } from './statistics.js';

export const LogPage = {
  SUPPORTED: 0x00,
  ERRORS: 0x01,
  HEALTH: 0x02,
  FIRMWARE: 0x03,
  CHANGED_NAMESPACES: 0x04,
  EFFECTS: 0x05,
  FEATURE_EFFECTS: 0x12,
} as const;

/** Bit of the critical warning (§5.16.1.3): the temperature is beyond a threshold. */
export const WARNING_TEMPERATURE = 1 << 1;
/** Bytes that the health log counts by, as the specification says: a thousand sectors. */
const DATA_UNIT = 512_000;

/** What the pages are made of. */
export interface LogSources {
  readonly errors: ErrorLog;
  readonly features: Features;
  readonly statistics: Statistics;
}

/** Page `id`; undefined when there is none. */
export function logPage(id: number, sources: LogSources): Uint8Array | undefined {
  switch (id) {
    case LogPage.SUPPORTED:
      return words(256, Object.values(LogPage), 1);
    case LogPage.ERRORS:
      return sources.errors.page();
    case LogPage.HEALTH:
      return healthPage(sources);
    case LogPage.FIRMWARE:
      return firmwarePage();
    case LogPage.CHANGED_NAMESPACES:
      // Namespaces are those of the command line.
      return new Uint8Array(4096);
    case LogPage.EFFECTS:
      return effectsPage();
    case LogPage.FEATURE_EFFECTS:
      return featureEffectsPage();
    default:
      return undefined;
  }
}

/** `count` words, of which those at `places` have `value`. */
function words(count: number, places: readonly number[], value: number): Uint8Array {
  const page = new Uint32Array(count);
  for (const place of places) page[place] = value;
  return new Uint8Array(page.buffer);
}

/** Commands supported and effects (§5.16.1.6): 256 of the admin queue, then as many of the I/O queues. */
function effectsPage(): Uint8Array {
  const page = new Uint8Array(4096);
  page.set(words(256, Object.values(AdminOpcode), 1));
  page.set(words(256, Object.values(IoOpcode), 1), 1024);
  for (const opcode of changesBlocks) page[1024 + 4 * opcode]! |= 1 << 1;
  return page;
}

/** Feature identifiers supported and effects (§5.16.1.13): each is of the controller, or of a namespace. */
function featureEffectsPage(): Uint8Array {
  const page = new Uint32Array(256);
  for (const id of featureIds) page[id] = 1 | (1 << (isOfNamespace(id) ? 20 : 21));
  return new Uint8Array(page.buffer);
}

function firmwarePage(): Uint8Array {
  const page = new Uint8Array(512);
  page[0] = 1;
  page.fill(0x20, 8, 16);
  page.set(Buffer.from(FIRMWARE, 'ascii'), 8);
  return page;
}

/** SMART and health information (§5.16.1.3). */
function healthPage({ features, statistics, errors }: LogSources): Uint8Array {
  const page = new Uint8Array(512);
  const view = new DataView(page.buffer);
  const count = (offset: number, value: number) => view.setBigUint64(offset, BigInt(value), true);
  view.setUint8(0, features.isHot ? WARNING_TEMPERATURE : 0);
  view.setUint16(1, TEMPERATURE, true);
  view.setUint8(3, 100); // available spare, percent
  view.setUint8(4, 10); // its threshold
  count(32, Math.ceil(statistics.bytesRead / DATA_UNIT));
  count(48, Math.ceil(statistics.bytesWritten / DATA_UNIT));
  count(64, statistics.readCommands);
  count(80, statistics.writeCommands);
  count(112, 1); // power cycles
  count(128, statistics.hours);
  count(160, statistics.mediaErrors);
  count(176, errors.count);
  return page;
}
