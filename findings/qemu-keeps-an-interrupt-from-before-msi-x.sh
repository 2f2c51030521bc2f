#!/bin/sh
# In QEMU an interrupt that a device raises while MSI-X is off is not lost: its bit in the Pending Bit Array
# is set, and the message is sent the moment a driver switches MSI-X on.
#
# A good guess is what PCI Express says: a function's MSI-X is off until its driver enables it, pending bits
# stand for messages that a *mask* holds back, and what a device does before is not told at all. QEMU asks one
# question, "is this vector masked?", and a function whose MSI-X is off counts as masked altogether. Models
# that do not ask for themselves (here: rocker, by the register that is there to test interrupts) so keep
# what was raised too early. A driver that switches interrupts on too late, and so would wait for ever on a
# real device, works in QEMU; a driver that is not ready for an interrupt at that moment gets one in QEMU.
#
# Seen with QEMU 11.1.3 (Debian's 1:11.1.3+ds-1~bpo13+1), driven by its qtest protocol, without a guest.
# Prints what the Pending Bit Array and the message's address hold; fails when it is otherwise.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

version='1:11.1.3+ds-1~bpo13+1'
for package in $("$here/../scripts/debian-package.sh" --with-dependencies "$folder/packages" \
	"qemu-system-x86=$version" trixie-backports trixie 2>/dev/null); do dpkg-deb -x "$package" root; done
libraries=$folder/root/usr/lib/x86_64-linux-gnu
cat >qemu <<SH
#!/bin/sh
exec $(find "$folder/root" -name ld-linux-x86-64.so.2 | head -n 1) --library-path "$libraries" \
	$folder/root/usr/bin/qemu-system-x86_64 \\
	-L $folder/root/usr/share/qemu -L $folder/root/usr/share/seabios "\$@"
SH
chmod +x qemu

cat >raise.mjs <<'JS'
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

const machine = '-M q35 -S -nodefaults -display none -device rocker,name=r,addr=4';
const protocol = '-qtest stdio -qtest-log /dev/null';
const qemu = spawn('./qemu', `${machine} ${protocol}`.split(' '), { stdio: ['pipe', 'pipe', 'inherit'] });
const lines = createInterface({ input: qemu.stdout })[Symbol.asyncIterator]();

/** One command of the qtest protocol; the number that it answers, if it does. */
async function ask(...words) {
  qemu.stdin.write(`${words.join(' ')}\n`);
  const { value = '' } = await lines.next();
  if (!value.startsWith('OK')) throw new Error(`${words.join(' ')}: ${value}`);
  return Number(value.slice(3));
}
const select = (at) => ask('outl', 0xcf8, 0x80000000 + (4 << 11) + (at & ~3));
const readConfig = async (at) => (await select(at), await ask('inl', 0xcfc));
const writeConfig = async (at, word) => (await select(at), await ask('outw', 0xcfc + (at & 3), word));

// The registers (BAR0), and the vectors with their pending bits (BAR1); memory and bus mastering are on.
const [REGISTERS, TABLE, PENDING, MESSAGE] = [0xe0000000, 0xe1000000, 0xe1001000, 0x200000];
await writeConfig(0x12, REGISTERS / 65536);
await writeConfig(0x16, TABLE / 65536);
await writeConfig(4, 6);
const capability = (await readConfig(0x34)) & 0xff;
if (((await readConfig(capability)) & 0xff) !== 0x11) throw new Error('no MSI-X');

// Vector 0: data 0x1234 to an address in memory, not masked.
const entry = [MESSAGE, 0, 0x1234, 0];
for (const [at, value] of entry.entries()) await ask('writel', TABLE + 4 * at, value);
await ask('writel', REGISTERS + 0x20, 0); // TEST_IRQ: raise vector 0
const before = { pending: await ask('readl', PENDING), message: await ask('readl', MESSAGE) };
await writeConfig(capability + 2, 0x8000); // MSI-X Enable
const after = { pending: await ask('readl', PENDING), message: await ask('readl', MESSAGE) };
console.log('raised while MSI-X is off:', before, 'then MSI-X is switched on:', after);
qemu.kill();
const kept = before.pending === 1 && before.message === 0 && after.pending === 0 && after.message === 0x1234;
process.exit(kept ? 0 : 1);
JS

./qemu --version | head -n 1
timeout 60 node raise.mjs
