/**
 * Which frames a network device takes: its own address, those that its driver has listed, and whole kinds of
 * them (virtio 1.3 §5.1.6.5.1, §5.1.6.5.2). Lists that are too long for it become the kind that they are of.
 */

/** Addresses that each of the two lists can have. */
const LISTED = 64;
export const ADDRESS_BYTES = 6;

/** Receive modes, by the commands that set them. */
export const Mode = { PROMISC: 0, ALLMULTI: 1, ALLUNI: 2, NOMULTI: 3, NOUNI: 4, NOBCAST: 5 } as const;
const MODES = 6;

export class ReceiveFilter {
  readonly #modes = new Uint8Array(MODES);
  /** Addresses one after the other; undefined: all. Before a driver says otherwise, all multicast. */
  #unicast: Uint8Array | undefined = new Uint8Array();
  #multicast: Uint8Array | undefined;

  /** As before a driver said anything. */
  reset(): void {
    this.#modes.fill(0);
    this.#unicast = new Uint8Array();
    this.#multicast = undefined;
  }

  /** Turns a mode on or off. @returns false when there is no such mode. */
  setMode(mode: number, on: boolean): boolean {
    if (mode >= MODES) return false;
    this.#modes[mode] = on ? 1 : 0;
    return true;
  }

  /** Takes over the driver's lists of addresses, each one after the other. */
  setLists(unicast: Uint8Array, multicast: Uint8Array): void {
    this.#unicast = unicast.length > LISTED * ADDRESS_BYTES ? undefined : unicast;
    this.#multicast = multicast.length > LISTED * ADDRESS_BYTES ? undefined : multicast;
  }

  /** Does a device with address `own` take a frame that begins with the address at frame[at..)? */
  takes(frame: Uint8Array, at: number, own: Uint8Array): boolean {
    const modes = this.#modes;
    if (modes[Mode.PROMISC] === 1) return true;
    if (isBroadcast(frame, at)) return modes[Mode.NOBCAST] === 0;
    if ((frame[at]! & 1) !== 0) {
      if (modes[Mode.NOMULTI] === 1) return false;
      return modes[Mode.ALLMULTI] === 1 || lists(this.#multicast, frame, at);
    }
    if (modes[Mode.NOUNI] === 1) return false;
    return modes[Mode.ALLUNI] === 1 || isSame(own, 0, frame, at) || lists(this.#unicast, frame, at);
  }
}

function isBroadcast(frame: Uint8Array, at: number): boolean {
  for (let i = 0; i < ADDRESS_BYTES; i++) if (frame[at + i] !== 0xff) return false;
  return true;
}

function isSame(address: Uint8Array, from: number, frame: Uint8Array, at: number): boolean {
  for (let i = 0; i < ADDRESS_BYTES; i++) if (address[from + i] !== frame[at + i]) return false;
  return true;
}

function lists(list: Uint8Array | undefined, frame: Uint8Array, at: number): boolean {
  if (list === undefined) return true;
  for (let from = 0; from < list.length; from += ADDRESS_BYTES)
    if (isSame(list, from, frame, at)) return true;
  return false;
}
