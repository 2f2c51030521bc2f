/** Can this kernel keep others from sending descriptors to a socket (SO_PASSRIGHTS)? */
import { release } from 'node:os';

const [major = 0, minor = 0] = release().split('.').map(Number);

/** Why not, or false. */
export const cannotRefuseRights =
  major > 6 || (major === 6 && minor >= 16) ? false : 'Linux before 6.16 lets anybody send descriptors';
