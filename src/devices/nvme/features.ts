/**
 * Features (NVM Express Base 2.0 §5.27): values that the driver reads and sets, a dword each, some of them
 * for each of several things: vectors, thresholds, and in one case namespaces. None is kept over a reset.
 */
import { ALL_NAMESPACES } from './command.js';
import { Status } from './status.js';

export const Feature = {
  ARBITRATION: 0x01,
  POWER_MANAGEMENT: 0x02,
  TEMPERATURE_THRESHOLD: 0x04,
  ERROR_RECOVERY: 0x05,
  WRITE_CACHE: 0x06,
  QUEUES: 0x07,
  INTERRUPT_COALESCING: 0x08,
  INTERRUPT_VECTOR: 0x09,
  WRITE_ATOMICITY: 0x0a,
  ASYNC_EVENTS: 0x0b,
} as const;

/** What a feature does without: the threshold of 343 K is that of an ordinary disk (§5.27.1.3). */
const OVER_TEMPERATURE = 343;
const WRITE_CACHE_ENABLED = 1;
/** Kelvin: what this disk always has. */
export const TEMPERATURE = 310;
/** The threshold selects: the sensor in bits 19:16, over or under in bits 21:20. */
const ALL_SENSORS = 0xf;

export interface FeatureLimits {
  /** I/O queues of each kind. */
  readonly queues: number;
  readonly vectors: number;
  readonly namespaces: number;
}

/** What may be done to a feature (§5.15, select 3). */
const NAMESPACE_SPECIFIC = 2;
const CHANGEABLE = 4;

/** Bits that each may have; those with checks of their own are in `check`. */
const bitsOf: Readonly<Record<number, number>> = {
  [Feature.ARBITRATION]: 0xffff_ff07,
  [Feature.POWER_MANAGEMENT]: 0xff,
  [Feature.TEMPERATURE_THRESHOLD]: 0x3f_ffff,
  [Feature.ERROR_RECOVERY]: 0xffff,
  [Feature.WRITE_CACHE]: 1,
  [Feature.QUEUES]: 0xffff_ffff,
  [Feature.INTERRUPT_COALESCING]: 0xffff,
  [Feature.INTERRUPT_VECTOR]: 0x1_ffff,
  [Feature.WRITE_ATOMICITY]: 1,
  [Feature.ASYNC_EVENTS]: 0xffff_ffff,
};

/** The identifiers of all features. */
export const featureIds: readonly number[] = Object.values(Feature);

export class Features {
  readonly #limits: FeatureLimits;
  /** By feature, and by the vector or threshold that it is about. */
  readonly #values = new Map<number, number>();

  constructor(limits: FeatureLimits) {
    this.#limits = limits;
  }

  get writeCache(): boolean {
    return (this.current(Feature.WRITE_CACHE, 0) & WRITE_CACHE_ENABLED) !== 0;
  }

  /** Is the temperature beyond a threshold of the driver's? */
  get isHot(): boolean {
    const over = this.current(Feature.TEMPERATURE_THRESHOLD, 0) & 0xffff;
    const under = this.current(Feature.TEMPERATURE_THRESHOLD, 1 << 20) & 0xffff;
    return TEMPERATURE >= over || TEMPERATURE <= under;
  }

  /** Does the driver want to hear of the critical warnings `bits` (§5.27.1.9)? */
  wantsWarning(bits: number): boolean {
    return (this.current(Feature.ASYNC_EVENTS, 0) & bits) !== 0;
  }

  /** The value that feature `id` has. @param dword11, nsid what it is about, where there are several. */
  current(id: number, dword11: number, nsid = 0): number {
    return this.#values.get(keyOf(id, dword11, nsid)) ?? this.fallback(id, dword11);
  }

  /** What may be done to it. */
  capabilities(id: number): number {
    return CHANGEABLE | (isOfNamespace(id) ? NAMESPACE_SPECIFIC : 0);
  }

  /** The value that it has after a reset. */
  fallback(id: number, dword11: number): number {
    const { queues } = this.#limits;
    if (id === Feature.QUEUES) return (queues - 1) | ((queues - 1) << 16);
    if (id === Feature.WRITE_CACHE) return WRITE_CACHE_ENABLED;
    if (id === Feature.TEMPERATURE_THRESHOLD) return isUnder(dword11) ? 0 : OVER_TEMPERATURE;
    return id === Feature.INTERRUPT_VECTOR ? dword11 & 0xffff : 0;
  }

  /** May feature `id` be read with `dword11`, of namespace `nsid`? */
  checkRead(id: number, dword11: number, nsid: number): Status {
    if (bitsOf[id] === undefined) return Status.INVALID_FIELD;
    if (isOfNamespace(id) && !this.#isNamespace(nsid)) return Status.INVALID_NAMESPACE;
    if (id === Feature.INTERRUPT_VECTOR && (dword11 & 0xffff) >= this.#limits.vectors)
      return Status.INVALID_FIELD;
    if (id === Feature.TEMPERATURE_THRESHOLD && (sensorOf(dword11) !== 0 || directionOf(dword11) > 1))
      return Status.INVALID_FIELD;
    return Status.SUCCESS;
  }

  /** Sets it. @param nsid of which namespace, or of all. @param started I/O queues have been created. */
  set(id: number, value: number, nsid: number, started: boolean): Status {
    const bits = bitsOf[id];
    if (bits === undefined || (value & ~bits) !== 0) return Status.INVALID_FIELD;
    const scope = this.#checkScope(id, nsid);
    const status = scope === Status.SUCCESS ? this.#check(id, value, started) : scope;
    if (status !== Status.SUCCESS) return status;
    if (nsid === ALL_NAMESPACES && isOfNamespace(id))
      for (let each = 1; each <= this.#limits.namespaces; each++)
        this.#values.set(keyOf(id, value, each), value);
    // What was asked for is not what there is: all queues may be used in any case.
    else if (id !== Feature.QUEUES) this.#values.set(keyOf(id, value, nsid), value);
    return Status.SUCCESS;
  }

  reset(): void {
    this.#values.clear();
  }

  #isNamespace(nsid: number): boolean {
    return nsid > 0 && nsid <= this.#limits.namespaces;
  }

  /** What is of the controller is not set of one namespace. */
  #checkScope(id: number, nsid: number): Status {
    if (nsid === ALL_NAMESPACES || (nsid === 0 && !isOfNamespace(id))) return Status.SUCCESS;
    if (!this.#isNamespace(nsid)) return Status.INVALID_NAMESPACE;
    return isOfNamespace(id) ? Status.SUCCESS : Status.NOT_NAMESPACE_SPECIFIC;
  }

  #check(id: number, value: number, started: boolean): Status {
    const low = value & 0xffff;
    switch (id) {
      case Feature.QUEUES:
        if (started) return Status.COMMAND_SEQUENCE_ERROR;
        return low === 0xffff || value >>> 16 === 0xffff ? Status.INVALID_FIELD : Status.SUCCESS;
      case Feature.INTERRUPT_VECTOR:
        return low < this.#limits.vectors ? Status.SUCCESS : Status.INVALID_FIELD;
      case Feature.POWER_MANAGEMENT:
        return (value & 0x1f) === 0 ? Status.SUCCESS : Status.INVALID_FIELD;
      case Feature.TEMPERATURE_THRESHOLD:
        return ![0, ALL_SENSORS].includes(sensorOf(value)) || directionOf(value) > 1
          ? Status.INVALID_FIELD
          : Status.SUCCESS;
      default:
        return Status.SUCCESS;
    }
  }
}

function sensorOf(dword11: number): number {
  return (dword11 >>> 16) & 0xf;
}

function directionOf(dword11: number): number {
  return (dword11 >>> 20) & 3;
}

function isUnder(dword11: number): boolean {
  return directionOf(dword11) === 1;
}

/** Has each namespace a value of its own? */
export function isOfNamespace(id: number): boolean {
  return id === Feature.ERROR_RECOVERY;
}

/** One number for a feature, and what of several things it is about, by dword 11 or the namespace. */
function keyOf(id: number, dword11: number, nsid: number): number {
  if (id === Feature.TEMPERATURE_THRESHOLD) return id + 0x100 * directionOf(dword11);
  if (id === Feature.INTERRUPT_VECTOR) return id + 0x100 * (dword11 & 0xffff);
  return isOfNamespace(id) ? id + 0x100 * nsid : id;
}
