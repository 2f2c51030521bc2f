/**
 * The control queue of a network device (virtio 1.3 §5.1.6.5): commands that set its address, what it
 * receives and how many pairs of queues it uses. Each is answered by one byte, and one that is wrong changes
 * nothing.
 */
import type { Chain } from './chain.js';
import { has } from './features.js';
import { NetFeature } from './net-features.js';
import { ADDRESS_BYTES, Mode, type ReceiveFilter } from './receive-filter.js';
import type { Virtqueue } from './virtqueue.js';

/** A command with two lists of thousands of addresses is not read. */
const COMMAND_BYTES = 1 << 16;
/** How often a command may come to the effort of a step: what keeps everybody for longer is not read. */
const MOST_TURNS = 16;
const Class = { RX: 0, MAC: 1, MQ: 4 } as const;
const MAC_TABLE_SET = 0;
const MAC_ADDR_SET = 1;
const MQ_PAIRS_SET = 0;
const OK = 0;
const ERROR = 1;

/** What commands change. */
export interface NetControls {
  readonly filter: ReceiveFilter;
  /** Pairs of queues that the device has, and that it uses. */
  readonly maxPairs: number;
  pairs: number;
  setAddress(address: Uint8Array): void;
}

/** Answers all commands in `queue` by the rules of `features`. */
export function serveControl(queue: Virtqueue, controls: NetControls, features: bigint): void {
  const status = new Uint8Array(1);
  for (let chain = queue.take(); chain !== undefined; chain = queue.take()) {
    if (chain.writable === 0) {
      queue.fail(`a command of ${chain.readable} bytes has no room for its answer`);
      return;
    }
    status[0] = obey(commandIn(chain), controls, features) ? OK : ERROR;
    chain.write(0, status);
    queue.put(chain);
  }
}

/** The bytes of a command; none when they cannot be read, or not in some milliseconds. */
function commandIn(chain: Chain): Uint8Array {
  const { readable } = chain;
  if (readable === 0 || readable > COMMAND_BYTES) return new Uint8Array();
  const bytes = new Uint8Array(readable);
  let done = 0;
  for (let turns = 0; turns < MOST_TURNS && done < readable; turns++) {
    done += chain.readSome(done, bytes, done, readable - done);
    if (chain.faulted) break;
  }
  return done === readable ? bytes : new Uint8Array();
}

function obey(bytes: Uint8Array, controls: NetControls, features: bigint): boolean {
  const [kind, command] = bytes;
  const data = bytes.subarray(2);
  if (kind === Class.RX) return setMode(command!, data, controls, features);
  if (kind === Class.MAC && command === MAC_ADDR_SET) {
    if (!has(features, NetFeature.CTRL_MAC_ADDR) || data.length < ADDRESS_BYTES) return false;
    controls.setAddress(data.subarray(0, ADDRESS_BYTES));
    return true;
  }
  if (kind === Class.MAC && command === MAC_TABLE_SET)
    return has(features, NetFeature.CTRL_RX) && setLists(data, controls);
  if (kind === Class.MQ && command === MQ_PAIRS_SET)
    return has(features, NetFeature.MQ) && setPairs(data, controls);
  return false;
}

function setMode(mode: number, data: Uint8Array, { filter }: NetControls, features: bigint): boolean {
  const feature = mode <= Mode.ALLMULTI ? NetFeature.CTRL_RX : NetFeature.CTRL_RX_EXTRA;
  return has(features, feature) && data.length >= 1 && filter.setMode(mode, data[0] !== 0);
}

/** Two lists, each a 32-bit count and so many addresses. */
function setLists(data: Uint8Array, { filter }: NetControls): boolean {
  const unicast = listAt(data, 0);
  const multicast = unicast && listAt(data, 4 + unicast.length);
  if (multicast === undefined) return false;
  filter.setLists(unicast!, multicast);
  return true;
}

function listAt(data: Uint8Array, at: number): Uint8Array | undefined {
  if (data.length < at + 4) return undefined;
  const count = new DataView(data.buffer, data.byteOffset + at, 4).getUint32(0, true);
  const end = at + 4 + count * ADDRESS_BYTES;
  return end > data.length ? undefined : data.slice(at + 4, end);
}

function setPairs(data: Uint8Array, controls: NetControls): boolean {
  const pairs = data.length < 2 ? 0 : data[0]! | (data[1]! << 8);
  if (pairs < 1 || pairs > controls.maxPairs) return false;
  controls.pairs = pairs;
  return true;
}
