/**
 * The heir of a trap: what `ioasid run` leaves behind when processes outlive it. Their trapped calls go on to
 * the kernel, as all others do: without anybody at the listener they would be ENOSYS, and that a shared
 * mapping of a file is, too. It ends with the last of those processes.
 *
 * Argument: the listener.
 */
import { CallListener } from '../linux/call-listener.js';

const listener = Number(process.argv[2]);
const calls = new CallListener({ listener, calls: listener });
while (calls.wait()) {
  const call = calls.receive();
  if (call !== undefined) calls.pass(call.id);
}
