/**
 * Requester ids: where on the machine's buses each function is.
 *
 * A function is where its `--device` argument puts it; else at the next free place of root bus 6a or, behind
 * a port, alone on the next bus that nobody has named. Where the host has buses from there on, that is in the
 * next domain in which it has none. Invariants: no two have the same, nor one of the host's; a bus is behind
 * a port for all of its functions or for none, and there they are functions of device 0, as PCI Express has
 * it.
 */
import { refuse } from '../linux/errno.js';

const ROOT_BUS = 0x6a;
const LAST_BUS = 0xff;

/** What one function asks for: a place (absent: any will do), and to be behind a port. */
export interface WantedPlace {
  readonly bdf?: string;
  readonly port?: boolean;
  /** Where that is written, as of PlacedSpec. */
  readonly from?: string;
}

/** The bus of `rid`: `0000:6a`. */
export function busNameOf(rid: string): string {
  return rid.slice(0, rid.lastIndexOf(':'));
}

/**
 * A requester id for each function, in the order of `wanted`; `host` are those of the host's.
 * @throws Refusal EEXIST when two ask for one, or one for one of the host's; EINVAL for a place that is not
 * behind a port as asked; ENOSPC when a bus is full, or there is none.
 */
export function assignRids(wanted: readonly WantedPlace[], host: readonly string[] = []): string[] {
  const taken = new Set<string>();
  for (const { bdf, port = false, from } of wanted) {
    if (bdf === undefined) continue;
    if (taken.has(bdf)) refuse('EEXIST', `${begun(from)}two devices ask for bdf=${bdf}`);
    if (host.includes(bdf)) refuse('EEXIST', `${begun(from)}bdf=${bdf}: this machine has a function there`);
    if (port && !/:00\.\d$/.test(bdf))
      refuse('EINVAL', `${begun(from)}bdf=${bdf}: behind a port there is device 00 alone, functions 0 to 7`);
    taken.add(bdf);
  }
  const domain = freeDomain(host);
  const places = { root: rootPlaces(domain, taken), ports: portPlaces(domain, taken) };
  const rids = wanted.map(({ bdf, port = false }) => bdf ?? (port ? places.ports : places.root).next().value);
  checkBuses(rids, wanted);
  return rids;
}

/** The first domain in which the host has neither the root bus nor one after it. */
function freeDomain(host: readonly string[]): string {
  const inUse = new Set<number>();
  for (const rid of host) {
    const [domain, bus] = rid.split(':').map((part) => Number.parseInt(part, 16));
    if (bus! >= ROOT_BUS) inUse.add(domain!);
  }
  let free = 0;
  while (inUse.has(free)) free++;
  return hex(free, 4);
}

/** The free places of the root bus. */
function* rootPlaces(domain: string, taken: ReadonlySet<string>): Generator<string, never> {
  for (let next = 1; next <= 255; next++) {
    const bdf = `${domain}:${hex(ROOT_BUS)}:${hex(next & 31)}.${next >>> 5}`;
    if (!taken.has(bdf)) yield bdf;
  }
  return refuse('ENOSPC', `bus ${domain}:${hex(ROOT_BUS)} has no room for another device`);
}

/** Function 0 on each bus after it that is free. */
function* portPlaces(domain: string, taken: ReadonlySet<string>): Generator<string, never> {
  const buses = new Set([...taken].map(busNameOf));
  for (let bus = ROOT_BUS + 1; bus <= LAST_BUS; bus++) {
    const name = `${domain}:${hex(bus)}`;
    if (!buses.has(name)) yield `${name}:00.0`;
  }
  return refuse('ENOSPC', `behind bus ${domain}:${hex(ROOT_BUS)} there is no number for another bus`);
}

function checkBuses(rids: readonly string[], wanted: readonly WantedPlace[]): void {
  const ports = new Map<string, boolean>();
  for (const [n, rid] of rids.entries()) {
    const { port = false, from } = wanted[n]!;
    const name = busNameOf(rid);
    if ((ports.get(name) ?? port) !== port)
      refuse(
        'EINVAL',
        `${begun(from)}bus ${name} is behind a port for one of its functions, and not for another`,
      );
    ports.set(name, port);
  }
}

function begun(from: string | undefined): string {
  return from === undefined ? '' : `${from}: `;
}

function hex(number: number, digits = 2): string {
  return number.toString(16).padStart(digits, '0');
}
