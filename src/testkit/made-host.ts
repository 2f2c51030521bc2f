/** A FakeHost whose model is there, for what it does by itself. */
import { FakeHost } from '../devices/fake-host.js';

/** As `new FakeHost(admitted)`, after its factory has returned. */
export function madeHost(admitted?: readonly number[]): FakeHost {
  const host = new FakeHost(admitted);
  const bars = [{ index: 0 as const, size: 4096 }];
  const pci = { vendorId: 1, deviceId: 2, classCode: 0, bars, msi: 1, pageRequests: true };
  host.make(() => ({ pci, readBar() {}, writeBar() {}, reset() {} }));
  return host;
}
